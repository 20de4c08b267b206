"""Work, study, and work for others."""

from p2bot_parlai.tasks.sketch.grammar.kind import Ask, Kind

WORK = Kind(
    name="work",
    original="i work as {x}.",
    revised=("people pay me to {h1}.", "my days are full of {h2}."),
    questions=(
        "what do you do for a living ?",
        "what is your job ?",
        "what kind of work do you do ?",
    ),
    answers=(
        "i work as {x} .",
        "i am {x} .",
        "i earn my living as {x} .",
        "my job is not easy , i am {x} .",
    ),
    blanks=(
        "i do not have a job right now .",
        "there is no job in my life at the moment .",
        "i am still looking for a job .",
    ),
    comments=(
        "being {x} must keep you busy .",
        "i always wanted to know {x} .",
        "that sounds like hard work .",
    ),
    asks=(
        Ask(
            "how long have you been {x} ?",
            ("for {years} years now .", "i started {years} years ago ."),
            ("that is a long time .", "then you know all about it ."),
        ),
        Ask(
            "do you like being {x} ?",
            ("yes , most of the time .", "yes , it makes me happy .", "it is hard , but yes ."),
            ("that is what counts .", "good for you ."),
        ),
        Ask(
            "do you have to get up early for that ?",
            ("yes , at five .", "no , i can start late ."),
        ),
    ),
    table="""
        x              | h1                         | h2
        a nurse        | look after the sick        | doctors and patients
        a baker        | make bread at night        | flour and ovens
        a pilot        | fly planes                 | airports and clouds
        a plumber      | mend pipes                 | sinks and leaks
        a farmer       | grow corn                  | cows and mud
        a teacher      | explain things to children | lessons and chalk
        a barber       | cut hair                   | scissors and beards
        a waiter       | carry plates to tables     | hungry guests and tips
        a librarian    | lend out novels            | shelves and silence
        a dentist      | fix teeth                  | mouths and drills
        a gardener     | plant flowers for others   | roses and lawns
        a fire fighter | put out flames             | smoke and ladders
        a tailor       | make suits                 | thread and buttons
        a taxi driver  | take strangers across town | passengers and red lights
        a judge        | send thieves to prison     | courts and trials
        a carpenter    | build doors and tables     | wood and nails
    """,
)

STUDY = Kind(
    name="study",
    original="i studied {x} in college.",
    revised=("my degree is about {h1}.", "i passed my exams on {h2}."),
    questions=(
        "what did you study ?",
        "what was your subject at school ?",
        "what did you learn in college ?",
    ),
    answers=(
        "i studied {x} in college .",
        "i went to college for {x} .",
        "my subject was {x} .",
        "in college i chose {x} .",
    ),
    blanks=(
        "i did not go to college .",
        "college was not for me .",
        "i left school early .",
    ),
    comments=(
        "i never understood much about {x} .",
        "{x} must be interesting .",
        "you must be clever .",
    ),
    asks=(
        Ask(
            "why did you choose {x} ?",
            ("i had a good teacher .", "i always wanted to know more about it ."),
            ("that is a good reason .",),
        ),
        Ask(
            "was it hard to study {x} ?",
            ("yes , i had to read a lot .", "no , i liked every day of it ."),
        ),
    ),
    table="""
        x                | h1                | h2
        history          | the past          | wars and kings
        law              | rules and courts  | crimes and contracts
        biology          | living things     | cells and plants
        math             | numbers           | algebra
        art              | pictures          | painters and statues
        physics          | energy            | gravity and atoms
        medicine         | the human body    | bones and pills
        economics        | money             | banks and prices
        geology          | rocks             | earthquakes and stones
        psychology       | the mind          | dreams and feelings
        philosophy       | the big questions | wise old men
        astronomy        | stars and planets | comets and the moon
        computer science | software          | code and robots
        religion         | faith             | gods and prayers
    """,
)

VOLUNTEER = Kind(
    name="volunteer",
    original="i volunteer at {x}.",
    revised=("without pay i {h1}.", "{h2} can count on me."),
    questions=(
        "do you help others in your free time ?",
        "do you volunteer anywhere ?",
    ),
    answers=(
        "i volunteer at {x} .",
        "twice a week i help out at {x} .",
        "i give some of my time to {x} .",
    ),
    blanks=(
        "i do not volunteer anywhere .",
        "i never find the time to help out .",
    ),
    comments=(
        "that is very kind of you .",
        "we need more people like you .",
        "i am sure they like you at {x} .",
    ),
    asks=(
        Ask(
            "how did you end up at {x} ?",
            ("a friend took me there .", "they were looking for help ."),
        ),
        Ask(
            "do you meet nice people there ?",
            ("yes , i made some friends .", "yes , the others are lovely ."),
            ("that is great .",),
        ),
    ),
    table="""
        x                  | h1                          | h2
        an animal shelter  | walk stray dogs             | lost pets
        a hospital         | read to the sick            | lonely patients
        a soup kitchen     | hand out warm meals         | the homeless
        a museum           | show old things to visitors | curious tourists
        a nursing home     | play cards with the elderly | grandmothers
        a community garden | pull weeds                  | the flowers on our block
        a summer camp      | sing by the fire with kids  | young boys and girls
        a theater          | sell tickets                | actors
        a zoo              | feed the lions              | monkeys and elephants
    """,
)

KINDS = (WORK, STUDY, VOLUNTEER)
