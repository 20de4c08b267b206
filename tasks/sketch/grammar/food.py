"""What people eat, drink and can not eat."""

from p2bot_parlai.tasks.sketch.grammar.kind import Ask, Kind

FOOD = Kind(
    name="food",
    original="my favorite food is {x}.",
    revised=("i could live on {h1}.", "at a restaurant i always ask for {h2}."),
    questions=(
        "what is your favorite food ?",
        "what do you like to eat ?",
        "what food could you eat every day ?",
    ),
    answers=(
        "my favorite food is {x} .",
        "i could eat {x} every day .",
        "nothing tastes better than {x} .",
        "i love {x} .",
    ),
    blanks=(
        "i have no favorite , i eat what there is .",
        "food is not that important to me .",
        "i do not have a favorite food .",
    ),
    comments=(
        "now i am hungry .",
        "many people like {x} .",
        "that sounds tasty .",
    ),
    asks=(
        Ask(
            "do you cook at home ?",
            ("yes , when i have time .", "no , i always go out .", "no , a friend does it ."),
        ),
        Ask(
            "where do you get the best {x} ?",
            ("there is a place down the road .", "at the market .", "in a shop near my bank ."),
            ("i should try that .",),
        ),
        Ask(
            "is that good for you ?",
            ("not really , but who cares .", "i hope so ."),
        ),
    ),
    table="""
        x         | h1                       | h2
        pizza     | thin dough with tomato   | something round from the oven
        sushi     | raw fish                 | small rolls with rice
        curry     | hot spices               | a yellow sauce from india
        pancakes  | sweet flat cakes         | a stack with syrup
        noodles   | long strings of dough    | something that i can slurp
        steak     | grilled beef             | a big piece of meat
        soup      | something for my spoon   | a bowl of hot broth
        salad     | raw green leaves         | a plate without any meat
        tacos     | folded corn shells       | something crisp from mexico
        ice cream | frozen vanilla           | something cold in a cone
        dumplings | stuffed dough            | little steamed things from china
        shrimp    | tiny pink animals        | a plate from the sea
        chili     | beans with fire          | a pot that burns my tongue
        waffles   | crisp squares with sugar | a sweet thing full of holes
        potatoes  | fries                    | anything mashed
        sausages  | grilled meat in a bun    | hot dogs
    """,
)

DRINK = Kind(
    name="drink",
    original="i drink {x} every morning.",
    revised=("my day starts with {h1}.", "{h2} wakes me up."),
    questions=(
        "what do you drink in the morning ?",
        "what is in your cup at breakfast ?",
    ),
    answers=(
        "i drink {x} every morning .",
        "my morning drink is {x} .",
        "i always drink {x} at breakfast .",
    ),
    blanks=(
        "i drink nothing at breakfast .",
        "that changes all the time .",
    ),
    comments=(
        "{x} is a fine drink .",
        "they say that {x} is good for you .",
        "then the day can come .",
    ),
    asks=(
        Ask(
            "how much of it do you drink ?",
            ("only a little .", "{years} cups a day .", "too much ."),
        ),
        Ask(
            "do you drink it at night , too ?",
            ("no , only early in the day .", "yes , if i am thirsty ."),
        ),
    ),
    table="""
        x             | h1                         | h2
        coffee        | a strong dark cup          | caffeine
        green tea     | a pot of leaves from china | something hot from asia
        orange juice  | a glass full of vitamins   | pressed fruit
        milk          | a cold white glass         | something from the cow
        hot chocolate | a sweet brown cup          | cocoa
        lemonade      | something sour and sweet   | a yellow glass with sugar
        tomato juice  | vegetables in a glass      | something red with salt
        mint tea      | fresh herbs in a pot       | a cup from the herb garden
    """,
)

ALLERGY = Kind(
    name="allergy",
    private=True,
    original="i am allergic to {x}.",
    revised=("i itch and sneeze because of {h1}.", "my doctor tells me to avoid {h2}."),
    questions=(
        "do you have any allergies ?",
        "is there anything that you are allergic to ?",
    ),
    answers=(
        "i am allergic to {x} .",
        "i found out that i am allergic to {x} .",
        "sadly {x} and i do not get along , i am allergic .",
    ),
    blanks=(
        "i am not allergic to anything that i know of .",
        "i do not have any allergies .",
    ),
    comments=(
        "i am sorry to hear that .",
        "being allergic to {x} must be hard .",
        "so you have to be careful .",
    ),
    asks=(
        Ask(
            "how did you find out ?",
            ("i had a bad day as a kid .", "i took a test .", "my face turned red once ."),
            ("that must have been scary .",),
        ),
        Ask(
            "is there something that helps ?",
            ("i take something for it .", "no , i just have to be careful ."),
        ),
    ),
    table="""
        x            | h1                   | h2
        peanuts      | a small salted snack | certain nuts
        cats         | soft fur             | animals that purr
        bees         | a sting              | anything that buzzes
        dust         | dirty carpets        | old blankets
        milk         | cheese               | anything from a cow
        eggs         | omelets              | anything from a hen
        grass        | a fresh lawn         | green fields in spring
        shellfish    | crabs                | anything with claws
        wool         | sweaters from sheep  | warm knitted things
        perfume      | strong scents        | ladies who smell of roses
        strawberries | a red fruit          | pink jam
    """,
)

KINDS = (FOOD, DRINK, ALLERGY)
