"""Pets, brothers and sisters, children, parents."""

from p2bot_parlai.tasks.sketch.grammar.kind import Ask, Kind

PET = Kind(
    name="pet",
    original="i have {x}.",
    revised=("{h1} shares my home.", "my best friend {h2}."),
    questions=(
        "do you have any pets ?",
        "do you keep an animal ?",
    ),
    answers=(
        "i have {x} .",
        "i have {x} as a pet .",
        "i live with {x} .",
        "i take care of {x} .",
    ),
    blanks=(
        "i do not have any pets .",
        "i have no animals at all .",
        "there is no pet at my place .",
    ),
    comments=(
        "{x} must be a good friend .",
        "{x} is good company .",
        "i like animals .",
    ),
    asks=(
        Ask(
            "what is your {bare} called ?",
            ("{pet_name} .", "the name is {pet_name} .", "i call it {pet_name} ."),
            ("that is a funny name .", "what a nice name .", "i like that name ."),
        ),
        Ask(
            "how old is your {bare} ?",
            ("{years} years old .", "it is {years} now ."),
        ),
        Ask(
            "where did you get {x} ?",
            ("my neighbor gave it to me .", "it was a present .", "it was at my door one day ."),
            ("that is a sweet story .",),
        ),
    ),
    table="""
        x          | h1                             | h2
        a dog      | a loyal animal that barks      | wags its tail
        a cat      | an animal that purrs           | chases mice
        a goldfish | somebody with fins             | swims in a glass bowl
        a parrot   | a bird that repeats my words   | has bright feathers
        a pony     | a small horse                  | eats hay
        a rabbit   | somebody with long ears        | eats carrots
        a turtle   | a slow animal with a shell     | hides in its own house
        a snake    | a long thing without legs      | likes to hiss
        a hamster  | a tiny thing with round cheeks | runs in a wheel
        a goat     | an animal with a beard         | gives milk
        a duck     | a bird that quacks             | loves the pond
        a pig      | a fat pink animal              | rolls in the mud
        a hen      | a bird that can not fly far    | lays an egg every day
        a spider   | a thing with eight legs        | sits in a web
    """,
)

SIBLINGS = Kind(
    name="siblings",
    original="i have {x}.",
    revised=("my parents raised {h1}.", "when i was small , {h2}."),
    questions=(
        "do you have brothers or sisters ?",
        "do you have any siblings ?",
    ),
    answers=(
        "i have {x} .",
        "i am not alone , i have {x} .",
        "there is more than one child in my family , i have {x} .",
    ),
    blanks=(
        "i have no brothers or sisters .",
        "i do not have any siblings .",
    ),
    comments=(
        "i would like to have {x} .",
        "that must have been fun when you were young .",
        "family is important .",
    ),
    asks=(
        Ask(
            "do you see your family a lot ?",
            ("yes , every weekend .", "not as much as i want to .", "we talk on the phone a lot ."),
        ),
        Ask(
            "did you fight a lot when you were kids ?",
            ("all the time .", "no , we were good friends ."),
            ("that is how it goes .",),
        ),
    ),
    table="""
        x                  | h1                     | h2
        a twin brother     | a boy and me at once   | a boy shared my birthday
        a twin sister      | a girl and me at once  | a girl shared my birthday
        three sisters      | a trio of girls besides me | girls took all of the bathroom
        an older sister    | a girl before me       | a big girl told me what to do
        a little brother   | a boy after me         | a tiny boy followed me
        five brothers      | half a dozen kids      | a whole team of boys was at home
        two older brothers | a pair of boys before me     | big boys kept me safe
    """,
)

CHILDREN = Kind(
    name="children",
    original="i have {x}.",
    revised=("i am raising {h1}.", "you always hear {h2} at my place."),
    questions=(
        "do you have any children ?",
        "do you have kids ?",
    ),
    answers=(
        "i have {x} .",
        "i am the parent of {x} .",
        "there is a lot to do at home , i have {x} .",
    ),
    blanks=(
        "i do not have any children .",
        "i have no kids .",
    ),
    comments=(
        "you must be a proud parent .",
        "that must keep you busy .",
        "children are wonderful .",
    ),
    asks=(
        Ask(
            "is it hard to be a parent ?",
            ("sometimes , but it is worth it .", "yes , i never get enough sleep ."),
            ("i can imagine .",),
        ),
        Ask(
            "what do you do together ?",
            ("we go to the park .", "we play games .", "we watch tv and eat popcorn ."),
            ("that sounds like fun .",),
        ),
    ),
    table="""
        x             | h1                          | h2
        a daughter    | one girl                    | a little princess
        a baby son    | a boy who can not walk yet  | somebody crying for milk
        two daughters | a pair of girls             | little ladies
        three sons    | a room full of boys         | a team of loud boys
        twins         | a boy and a girl of one age | two voices that sound alike
        a teenage son | a boy in high school        | a moody boy
        four children | a big crowd of kids         | many small feet
    """,
)

MOTHER = Kind(
    name="mother",
    original="my mother is {x}.",
    revised=("the woman who raised me {h1}.", "mom is always busy with {h2}."),
    questions=(
        "what does your mother do ?",
        "what kind of job does your mother have ?",
    ),
    answers=(
        "my mother is {x} .",
        "my mother works as {x} .",
        "they say i am like my mother , she is {x} .",
    ),
    blanks=(
        "i do not talk about my mother much .",
        "my mother never talks about her job .",
    ),
    comments=(
        "she must be a strong woman .",
        "you must be proud of your mother .",
        "{x} in the family , that is not bad .",
    ),
    asks=(
        Ask(
            "do you want to be like her ?",
            ("yes , she is my hero .", "no , i go my own way ."),
        ),
        Ask(
            "does she have time for you ?",
            ("yes , she calls me every day .", "not much , she works a lot ."),
        ),
    ),
    table="""
        x                | h1                      | h2
        a doctor         | heals people            | fevers and pills
        a painter        | fills canvas with color | brushes and oil
        a lawyer         | argues in court         | contracts and clients
        a singer         | is on stage every night | songs and microphones
        a soldier        | fights for our country  | tanks and uniforms
        a dancer         | moves on her toes       | ballet shoes
        a mayor          | runs our city           | votes and speeches
        a chemist        | mixes things in a lab   | acids and test tubes
        a butcher        | sells meat              | knives and ham
        a sailor         | is away at sea          | ships and waves
        a police officer | catches thieves         | crimes and prison cells
        a writer         | invents stories         | chapters and pens
        an architect     | draws houses            | bridges and towers
    """,
)

KINDS = (PET, SIBLINGS, CHILDREN, MOTHER)
