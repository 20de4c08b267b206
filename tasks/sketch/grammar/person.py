"""Health, looks, fears, and what people like and hate."""

from p2bot_parlai.tasks.sketch.grammar.kind import Ask, Kind

HEALTH = Kind(
    name="health",
    private=True,
    original="i {x}.",
    revised=("{h1}.", "{h2}."),
    questions=(
        "how is your health ?",
        "is there any trouble with your health ?",
    ),
    answers=(
        "to be honest , i {x} .",
        "well , i {x} .",
        "i {x} , but i do not complain .",
    ),
    blanks=(
        "i would rather not talk about my health .",
        "i never think about my health .",
    ),
    comments=(
        "i am sorry , that must be annoying .",
        "i know how that is , a friend has the same trouble .",
        "i hope that you are okay .",
    ),
    asks=(
        Ask(
            "have you seen a doctor ?",
            ("yes , but there is not much to do .", "no , i do not like doctors ."),
            ("take care of yourself .",),
        ),
        Ask(
            "since when ?",
            ("for {years} months now .", "it started last winter ."),
            ("i hope it gets better .",),
        ),
    ),
    table="""
        x                  | h1                                    | h2
        wear glasses       | without my lenses the world is a blur | i can not see far
        have a bad knee    | stairs hurt my leg                    | my joints are worn out
        am color blind     | red and green look the same to me     | ask others if leaves are brown
        can not sleep well | i stare at the ceiling until dawn     | insomnia is my problem
        broke my arm       | there is a cast below my shoulder     | i fell and a bone cracked
        have a sore back   | my spine aches                        | i can not lift boxes
        am almost deaf     | my ears do not work                   | speak up , i hear nothing
        have asthma        | i carry an inhaler                    | i am often out of breath
        have a cold        | my nose is running                    | i cough all day
        have diabetes      | too much sugar is dangerous to me     | i take insulin
    """,
)

HAIR = Kind(
    name="hair",
    original="i have {x} hair.",
    revised=("my head looks like {h1}.", "in a crowd i am the one with {h2}."),
    questions=(
        "what do you look like ?",
        "what does your hair look like ?",
    ),
    answers=(
        "i have {x} hair .",
        "i am the one with {x} hair .",
        "you would know me by my {x} hair .",
    ),
    blanks=(
        "i look like everybody else .",
        "there is nothing special about my looks .",
    ),
    comments=(
        "{x} hair , that must look great .",
        "my neighbor has {x} hair , too .",
        "i am sure it looks good on you .",
    ),
    asks=(
        Ask(
            "was it always like that ?",
            ("yes , since i was born .", "no , only since last year ."),
        ),
        Ask(
            "do people look at you on the street ?",
            ("yes , but i do not mind .", "no , nobody cares ."),
        ),
    ),
    table="""
        x          | h1            | h2
        red        | a flame       | ginger locks
        grey       | an old wolf   | silver on top
        blue       | a smurf       | a wild dye job
        very long  | rapunzel      | a braid down to my knees
        curly      | a sheep       | ringlets
        jet black  | a raven       | locks as dark as night
        blond      | a wheat field | golden locks
        very short | a soldier     | a buzz cut
    """,
)

FEAR = Kind(
    name="fear",
    private=True,
    original="i am afraid of {x}.",
    revised=("i scream when i {h1}.", "my nightmares are about {h2}."),
    questions=(
        "what are you afraid of ?",
        "is there anything that scares you ?",
    ),
    answers=(
        "i am afraid of {x} .",
        "i am a little afraid of {x} .",
        "i can not help it , i am afraid of {x} .",
        "i have been afraid of {x} since i was a kid .",
    ),
    blanks=(
        "nothing that i can think of .",
        "i would rather not talk about my fears .",
    ),
    comments=(
        "i understand , my aunt is afraid of {x} , too .",
        "you do not have to be ashamed of that .",
        "everybody is afraid of something .",
    ),
    asks=(
        Ask(
            "did something bad happen to you ?",
            ("yes , when i was six .", "no , it was always like that ."),
            ("i hope you get over it .",),
        ),
        Ask(
            "what do you do against it ?",
            ("i run away .", "i close my eyes and count to ten ."),
        ),
    ),
    table="""
        x          | h1                          | h2
        spiders    | see eight legs              | webs in a corner
        heights    | look down from a roof       | tall ladders
        the dark   | have no light               | nights without a lamp
        clowns     | see a red nose              | painted smiles
        thunder    | hear a storm                | lightning
        flying     | board a plane               | an airport
        snakes     | hear a hiss                 | poison
        needles    | get a shot                  | a nurse who wants blood
        big dogs   | hear loud barking           | teeth behind a fence
        deep water | can not feel the ground     | sinking
        crowds     | stand among many people     | a full subway
        ghosts     | hear steps in the attic     | haunted houses
        mice       | see whiskers in the kitchen | tiny grey animals
        elevators  | get stuck between floors    | small closed rooms
        bees       | hear something buzz         | stings
        fire       | smell smoke                 | burning houses
    """,
)

COLOR = Kind(
    name="color",
    original="my favorite color is {x}.",
    revised=("i painted my walls like {h1}.", "my clothes look like {h2}."),
    questions=(
        "what is your favorite color ?",
        "what color do you like ?",
    ),
    answers=(
        "my favorite color is {x} .",
        "of all colors i like {x} best .",
        "{x} is the only color for me .",
    ),
    blanks=(
        "i have no favorite color .",
        "all of them are fine with me .",
    ),
    comments=(
        "{x} is a good choice .",
        "i have a shirt in {x} .",
        "my kitchen is {x} .",
    ),
    asks=(
        Ask(
            "do you wear a lot of {x} ?",
            ("yes , every day .", "no , only on sundays ."),
        ),
        Ask(
            "why {x} ?",
            ("it makes me calm .", "i do not know , i just like it ."),
        ),
    ),
    table="""
        x      | h1           | h2
        blue   | the sky      | the ocean
        green  | grass        | a frog
        red    | a tomato     | a fire truck
        yellow | a lemon      | the sun
        purple | a plum       | grapes
        orange | a carrot     | a pumpkin
        pink   | cotton candy | a flamingo
        black  | the night    | a raven
        white  | fresh snow   | a bride
        brown  | chocolate    | a bear
    """,
)

HOLIDAY = Kind(
    name="holiday",
    original="my favorite holiday is {x}.",
    revised=("i can hardly wait for {h1}.", "there is nothing nicer than {h2}."),
    questions=(
        "what is your favorite holiday ?",
        "which holiday do you like best ?",
    ),
    answers=(
        "my favorite holiday is {x} .",
        "of all days i like {x} best .",
        "the best day of the year is {x} .",
    ),
    blanks=(
        "i do not have a favorite holiday .",
        "holidays mean nothing to me .",
    ),
    comments=(
        "my family loves {x} , too .",
        "i spend {x} alone most of the time .",
        "that is a nice day .",
    ),
    asks=(
        Ask(
            "what do you do on that day ?",
            ("my family comes over .", "i eat too much .", "we sing and dance ."),
            ("that sounds nice .",),
        ),
        Ask(
            "do you travel for it ?",
            ("yes , to my parents .", "no , i stay at home ."),
        ),
    ),
    table="""
        x               | h1                   | h2
        christmas       | santa                | a tree with candles
        halloween       | costumes and candy   | a pumpkin with a face
        easter          | painted eggs         | chocolate bunnies
        thanksgiving    | turkey with gravy    | pie in november
        new year        | midnight in december | fireworks and champagne
        valentine's day | roses from a lover   | cupid and his hearts
        my birthday     | the day i was born   | a cake with my name on it
    """,
)

DISLIKE = Kind(
    name="dislike",
    private=True,
    original="i hate {x}.",
    revised=("i would pay somebody to spare me {h1}.", "nothing annoys me more than {h2}."),
    questions=(
        "what do you hate ?",
        "what makes you angry ?",
        "is there anything that you can not stand ?",
    ),
    answers=(
        "i hate {x} .",
        "i really hate {x} .",
        "if there is one thing that i hate , it is {x} .",
    ),
    blanks=(
        "there is nothing that i hate .",
        "i do not get angry at all .",
    ),
    comments=(
        "nobody likes {x} .",
        "i do not mind {x} that much .",
        "i can understand that .",
    ),
    asks=(
        Ask(
            "is it really that bad ?",
            ("yes , every time .", "maybe not , but i get angry ."),
            ("okay , i believe you .",),
        ),
        Ask(
            "what do you do about it ?",
            ("i take a deep breath .", "i complain a lot .", "nothing , that is life ."),
        ),
    ),
    table="""
        x                | h1                           | h2
        mondays          | the start of the week        | the end of a weekend
        doing the dishes | a sink full of plates        | grease on a pan
        traffic jams     | standing still on a highway  | horns at rush hour
        broccoli         | vegetables like tiny trees   | something green on my plate
        ironing          | pressing my shirts           | cotton with wrinkles
        mosquitoes       | itchy bites                  | something that buzzes by my ear
        shopping         | hours at the mall            | crowded stores
        early mornings   | my alarm clock               | leaving bed before dawn
        phone calls      | a voice without a face       | something that rings during dinner
        paying taxes     | forms from the government    | giving money to the state
        liars            | people who hide the truth    | false words
        olives           | small bitter fruit           | green things on a pizza
    """,
)

KINDS = (HEALTH, HAIR, FEAR, COLOR, HOLIDAY, DISLIKE)
