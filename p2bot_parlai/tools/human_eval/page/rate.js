"use strict";
// One response at a time. Text is only ever set as text, never as HTML.

const at = (id) => document.getElementById(id);
let study = null;   // what GET /study answered: rater, scale, items, ratings
let place = 0;      // of the item that is shown; items.length: all done
let saving = false;

function element(tag, text, parent) {
  const made = document.createElement(tag);
  made.textContent = text;
  parent.append(made);
  return made;
}

async function ask(path, options) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw new Error("The server does not answer. Start it again, then go on here.");
  }
  const content = await answer.json();
  if (!answer.ok) throw new Error(content.error);
  return content;
}

function complain(text) {
  at("problem").textContent = text;
  at("problem").hidden = !text;
}

const isRated = (item) => item.id in study.ratings;

function firstUnrated(from) {
  const { items } = study;
  for (let step = 0; step < items.length; step++) {
    const candidate = (from + step) % items.length;
    if (!isRated(items[candidate])) return candidate;
  }
  return items.length;
}

function show() {
  const { items, ratings, rater } = study;
  const rated = items.filter(isRated).length;
  at("progress").textContent = `${rater}: ${rated} of ${items.length} rated`;
  at("bar").max = items.length;
  at("bar").value = rated;
  const done = place >= items.length;
  at("welcome").hidden = true;
  at("rating").hidden = done;
  at("done").hidden = !done;
  if (done) return;

  const item = items[place];
  const persona = at("persona").querySelector("ul");
  persona.replaceChildren();
  item.persona.forEach((sentence) => element("li", sentence, persona));
  const context = at("context");
  context.replaceChildren();
  for (const [who, text] of item.context) {
    const line = element("p", "", context);
    line.className = who;
    element("small", who === "speaker" ? "Speaker" : "Partner", line);
    line.append(text);
  }
  if (!item.context.length) element("p", "The speaker begins.", context).className = "silence";
  at("response").textContent = item.response || "(says nothing)";
  at("response").className = item.response ? "" : "empty";
  for (const button of at("grades").children) {
    button.setAttribute("aria-pressed", String(ratings[item.id] === Number(button.value)));
  }
  at("back").disabled = place === 0;
  at("next").disabled = !isRated(item);
  at("response").scrollIntoView({ block: "nearest" });
}

async function rate(grade) {
  if (saving || !study || place >= study.items.length) return;
  saving = true;
  const item = study.items[place];
  const again = isRated(item);
  try {
    await ask("/rate", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({
        study: study.study, rater: study.rater, response: item.id, rating: grade,
      }),
    });
    study.ratings[item.id] = grade;
    complain("");
    // after a correction the next one, rated or not: it may want correcting too
    place = again && place + 1 < study.items.length ? place + 1 : firstUnrated(place);
    show();
  } catch (error) {
    complain(`This rating is not saved. ${error.message}`);
  } finally {
    saving = false;
  }
}

function back() {
  if (!study || saving || place === 0) return;
  place -= 1;
  show();
}

function forward() {
  if (!study || saving || place >= study.items.length || !isRated(study.items[place])) return;
  place = place + 1 < study.items.length ? place + 1 : firstUnrated(0);
  show();
}

async function start(name) {
  try {
    study = await ask(`/study?rater=${encodeURIComponent(name)}`);
  } catch (error) {
    return complain(error.message);
  }
  complain("");
  at("grades").replaceChildren();
  for (const { value, name: title, meaning } of study.scale) {
    const button = element("button", "", at("grades"));
    button.value = String(value);
    element("b", String(value), button);
    element("span", title, button);
    element("small", meaning, button);
    button.addEventListener("click", () => { button.blur(); rate(value); });
  }
  place = firstUnrated(0);
  show();
}

async function welcome() {
  try {
    const { scale } = await ask("/scale");
    const list = document.querySelector(".scale");
    for (const { value, name, meaning } of scale) {
      element("dt", `${value} ${name}`, list);
      element("dd", meaning, list);
    }
  } catch (error) {
    complain(error.message);
  }
}

at("welcome").addEventListener("submit", (event) => {
  event.preventDefault();
  start(at("name").value);
});
at("back").addEventListener("click", back);
at("review").addEventListener("click", back);
at("next").addEventListener("click", forward);

document.addEventListener("keydown", (event) => {
  if (!study || event.repeat || event.ctrlKey || event.altKey || event.metaKey) return;
  if (["1", "2", "3", "4"].includes(event.key)) rate(Number(event.key));
  else if (event.key === "ArrowLeft" || event.key === "Backspace") back();
  else if (event.key === "ArrowRight") forward();
  else return;
  event.preventDefault();
});

welcome();
