"""Where people live, come from and want to go; weather and languages."""

from p2bot_parlai.tasks.sketch.grammar.kind import Ask, Kind

CITY = Kind(
    name="city",
    original="i live in {x}.",
    revised=("my apartment is close to {h1}.", "on my street you see {h2}."),
    questions=(
        "where do you live ?",
        "where is your home ?",
        "what part of the world are you from ?",
    ),
    answers=(
        "i live in {x} .",
        "my home is in {x} .",
        "i have a small place in {x} .",
        "i am from {x} .",
    ),
    blanks=(
        "i would rather not say where i live .",
        "i move around a lot , so that is hard to say .",
        "i do not tell strangers where i live .",
    ),
    comments=(
        "i have never been to {x} .",
        "i would like to see {x} one day .",
        "{x} must be a great place to live .",
    ),
    asks=(
        Ask(
            "do you like it there ?",
            ("yes , i never want to leave .", "yes , but it is loud .", "most of the time ."),
            ("good to know .",),
        ),
        Ask(
            "how long have you lived in {x} ?",
            ("for {years} years .", "all my life .", "since last year ."),
        ),
        Ask(
            "what should i see in {x} ?",
            ("just walk around and look .", "come and i will show you ."),
            ("i will remember that .",),
        ),
    ),
    table="""
        x         | h1                      | h2
        paris     | the eiffel tower        | french bakeries
        london    | big ben                 | tall red buses
        tokyo     | mount fuji              | bright signs in japanese
        new york  | the statue of liberty   | yellow cabs
        rome      | the colosseum           | ruins of an old empire
        cairo     | the pyramids            | camels
        sydney    | the opera house         | australian surfers
        rio       | the beach of copacabana | samba dancers
        venice    | saint mark's            | boats instead of cars
        hawaii    | a volcano               | palm trees
        alaska    | a frozen river          | bears
        texas     | an oil field            | cowboys
        hollywood | the film studios        | movie stars
        amsterdam | a canal                 | bicycles and tulips
        moscow    | the kremlin             | fur hats
        las vegas | the big casinos         | gamblers
    """,
)

CHILDHOOD = Kind(
    name="childhood",
    original="i grew up {x}.",
    revised=("as a child i {h1}.", "my early years were full of {h2}."),
    questions=(
        "where did you grow up ?",
        "how did you grow up ?",
    ),
    answers=(
        "i grew up {x} .",
        "when i was young we lived {x} .",
        "i grew up {x} , believe it or not .",
    ),
    blanks=(
        "i do not remember much of that time .",
        "i do not talk about my childhood .",
    ),
    comments=(
        "to grow up {x} , what an adventure .",
        "that must have been special .",
        "i wish i had grown up like that .",
    ),
    asks=(
        Ask(
            "do you miss it ?",
            ("yes , sometimes .", "no , i am glad that i left .", "every single day ."),
            ("i understand .",),
        ),
        Ask(
            "do you ever go back ?",
            ("once a year .", "no , it is too far away ."),
        ),
    ),
    table="""
        x                | h1                             | h2
        on a farm        | fed the pigs before breakfast  | barns and fields
        on a boat        | slept on the waves             | sails and harbors
        in the mountains | climbed rocks every day        | steep paths
        in the desert    | saw no rain for months         | sand and cactus
        on an island     | needed a ferry to get anywhere | beaches and coconuts
        in a circus      | had breakfast with clowns      | tents and elephants
        in a village     | knew all of my neighbors       | church bells and cows
        in a big city    | took the subway alone          | noise and tall houses
        in a castle      | slept behind thick walls       | towers and knights
        in a hotel       | met new guests every day       | room service
        in a lighthouse  | showed ships the way           | lamps above the sea
    """,
)

LANGUAGE = Kind(
    name="language",
    original="i speak {x}.",
    revised=("i could order a meal in {h1}.", "people from {h2} understand me."),
    questions=(
        "do you speak any other languages ?",
        "what languages do you know ?",
    ),
    answers=(
        "i speak {x} .",
        "i speak {x} quite well .",
        "besides english i know {x} .",
        "i can speak {x} and a little english .",
    ),
    blanks=(
        "i only speak english .",
        "i know no other language .",
    ),
    comments=(
        "i would like to learn {x} one day .",
        "{x} is a beautiful language .",
        "i wish i could speak {x} .",
    ),
    asks=(
        Ask(
            "where did you learn {x} ?",
            ("i had a good teacher .", "from a friend .", "i took classes at night ."),
            ("that is a good way to learn .",),
        ),
        Ask(
            "is {x} hard to learn ?",
            ("yes , it took me {years} years .", "no , not if you like it ."),
        ),
    ),
    table="""
        x          | h1        | h2
        spanish    | madrid    | mexico
        french     | a bistro  | quebec
        german     | berlin    | austria
        italian    | naples    | sicily
        japanese   | kyoto     | japan
        russian    | siberia   | the old soviet union
        arabic     | morocco   | egypt
        greek      | athens    | crete
        chinese    | beijing   | shanghai
        portuguese | lisbon    | brazil
        polish     | warsaw    | poland
        swedish    | stockholm | the far north
        turkish    | istanbul  | ankara
        hindi      | delhi     | india
    """,
)

WEATHER = Kind(
    name="weather",
    original="i love {x}.",
    revised=("i feel best when {h1}.", "give me {h2} and i am happy."),
    questions=(
        "what kind of weather do you like ?",
        "what weather makes you happy ?",
    ),
    answers=(
        "i love {x} .",
        "i am always in a good mood when there is {x} .",
        "there is nothing like {x} for me .",
    ),
    blanks=(
        "any weather is fine with me .",
        "i do not care about the weather .",
    ),
    comments=(
        "everybody likes something else .",
        "{x} , really ? that is not for everyone .",
        "i hope you get a lot of that this year .",
    ),
    asks=(
        Ask(
            "what do you do on a day like that ?",
            ("i go outside and walk .", "i stay in bed and sleep .", "i call my friends ."),
            ("that sounds nice .",),
        ),
        Ask(
            "is there enough of that where you live ?",
            ("never enough .", "yes , more than enough ."),
        ),
    ),
    table="""
        x           | h1                              | h2
        snow        | everything is white             | a sled and a hill
        rain        | drops hit my window             | puddles and an umbrella
        fog         | i can not see across the street | a grey day
        summer heat | it is a hundred degrees         | the month of july
        strong wind | my kite flies                   | a stiff breeze
        thunder     | lightning splits the sky        | loud black clouds
        sunshine    | the sky is blue                 | a day without clouds
        frost       | ponds freeze                    | ice on the windows
        spring air  | flowers open                    | april and may
        autumn gold | leaves fall                     | october
    """,
)

PLAN = Kind(
    name="plan",
    original="next year i will {x}.",
    revised=("soon i will {h1}.", "i am saving money for {h2}."),
    questions=(
        "do you have any big plans ?",
        "what are your plans for next year ?",
        "what do you want to do next year ?",
    ),
    answers=(
        "next year i will {x} .",
        "i will {x} , i can not wait .",
        "i have a plan , i will {x} .",
        "i am about to {x} .",
    ),
    blanks=(
        "i have no plans yet .",
        "i never make plans .",
    ),
    comments=(
        "good luck with that .",
        "that is a big step .",
        "i would never dare to {x} .",
    ),
    asks=(
        Ask(
            "what do your friends think of that ?",
            ("they think i am crazy .", "they are happy for me ."),
            ("what counts is what you want .",),
        ),
        Ask(
            "when did you decide to {x} ?",
            ("{years} weeks ago .", "i have wanted that all my life ."),
        ),
    ),
    table="""
        x                     | h1                               | h2
        get married           | stop being single                | a wedding
        buy a house           | sign for something with a garden | my own four walls
        open a cafe           | serve cake to guests             | a big espresso machine
        write a novel         | become an author                 | a typewriter
        sail around the world | cross every ocean                | a yacht
        move to canada        | pack for a land of maple trees   | a fresh start up north
        learn to fly          | sit in a cockpit                 | hours in a small plane
        go back to college    | become a student again           | exams and a dorm room
        adopt a child         | give an orphan a home            | a bed for somebody small
        run a marathon        | race for twenty six miles        | better sneakers
        hike across spain     | walk for weeks with a backpack   | good boots
        start a band          | make songs with my friends       | drums and a stage
        quit smoking          | throw away my cigarettes         | gum instead of cigars
        build a boat          | make something that floats       | wood and sails
        learn to dance        | stop stepping on toes            | tango lessons
    """,
)

KINDS = (CITY, CHILDHOOD, LANGUAGE, WEATHER, PLAN)
