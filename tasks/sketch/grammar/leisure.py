"""Sport, handicraft, collections, talents and what people drive."""

from p2bot_parlai.tasks.sketch.grammar.kind import Ask, Kind

SPORT = Kind(
    name="sport",
    original="i {do} every weekend.",
    revised=("my muscles are sore from {h1}.", "on saturdays you can find me {h2}."),
    questions=(
        "do you do any sports ?",
        "how do you stay in shape ?",
        "what sport do you like ?",
    ),
    answers=(
        "i {do} every weekend .",
        "i {do} to stay in shape .",
        "i am into {doing} .",
        "{doing} is my favorite sport .",
    ),
    blanks=(
        "i am too lazy for sports .",
        "i do not do any sports .",
    ),
    comments=(
        "you must be in great shape .",
        "i tried {doing} once , i was very bad at it .",
        "{doing} takes a lot of practice .",
    ),
    asks=(
        Ask(
            "are you good at it ?",
            ("not bad , i won a prize once .", "no , but it is fun .", "i get better every year ."),
        ),
        Ask(
            "who taught you {doing} ?",
            ("my uncle did .", "i learned it by myself ."),
            ("i see , that is nice .",),
        ),
    ),
    table="""
        do              | doing              | h1                       | h2
        swim            | swimming           | crossing the pool        | in the water
        surf            | surfing            | standing on waves        | on a board at the beach
        ski             | skiing             | racing downhill          | on snowy hills
        box             | boxing             | throwing punches         | with gloves in the ring
        row             | rowing             | pulling oars             | in a narrow boat
        jog             | jogging            | long miles on foot       | in sneakers on the road
        play tennis     | playing tennis     | rackets and serves       | on a court with a net
        play soccer     | playing soccer     | kicking goals            | on a field with ten others
        play golf       | playing golf       | swinging clubs           | near eighteen holes
        play basketball | playing basketball | jumping for the hoop     | among very tall men
        ride horses     | riding horses      | the saddle               | in the stable
        lift weights    | lifting weights    | heavy iron               | at the gym
        climb           | climbing           | hanging from ropes       | on a steep rock
        skate           | skating            | falling on ice           | at the rink
        fence           | fencing            | sword fights             | behind a mask with a blade
        bowl            | bowling            | a ball that weighs a ton | where ten pins fall
    """,
)

CRAFT = Kind(
    name="craft",
    original="i like to {do}.",
    revised=("my free time goes into {h1}.", "on my table there is always {h2}."),
    questions=(
        "do you have a hobby ?",
        "what do you do for fun ?",
        "what do you do in your free time ?",
    ),
    answers=(
        "i like to {do} .",
        "in my free time i {do} .",
        "my hobby is {doing} .",
        "{doing} is what i do for fun .",
    ),
    blanks=(
        "a bit of everything , nothing special .",
        "this and that , it changes all the time .",
    ),
    comments=(
        "{doing} must be relaxing .",
        "i am too clumsy for {doing} .",
        "you must have a lot of patience .",
    ),
    asks=(
        Ask(
            "how did you get into {doing} ?",
            ("my grandmother showed me .", "i was bored one winter ."),
        ),
        Ask(
            "how much time do you spend on that ?",
            ("{years} hours a week .", "every free minute ."),
            ("wow , that is a lot .",),
        ),
    ),
    table="""
        do              | doing              | h1                        | h2
        knit            | knitting           | making sweaters           | yarn
        paint           | painting           | making portraits          | a brush in a jar
        bake            | baking             | making cakes              | flour and sugar
        go fishing      | going fishing      | waiting for trout         | a box of hooks and worms
        dance           | dancing            | moving to the beat        | a pair of tango shoes
        hike            | hiking             | walking in the woods      | a map and a compass
        carve wood      | carving wood       | cutting figures from logs | a sharp knife
        do magic tricks | doing magic tricks | making things disappear   | a wand in a top hat
        play chess      | playing chess      | moving kings and queens   | a board with pawns
        watch birds     | watching birds     | counting owls             | a pair of binoculars
        fold paper      | folding paper      | making tiny swans         | origami
        sew             | sewing             | making dresses            | a needle with thread
        brew beer       | brewing beer       | making a dark ale         | a glass with foam
        take photos     | taking photos      | waiting for good light    | a lens and a tripod
    """,
)

COLLECTION = Kind(
    name="collection",
    original="i collect {x}.",
    revised=("my shelves are full of {h1}.", "at flea markets i look for {h2}."),
    questions=(
        "do you collect anything ?",
        "what do you spend your money on ?",
    ),
    answers=(
        "i collect {x} .",
        "i collect {x} , i have hundreds .",
        "all of my money goes into {x} , i collect them .",
    ),
    blanks=(
        "nothing , really .",
        "nothing that is worth a word .",
    ),
    comments=(
        "i would like to see your {x} .",
        "you must need a lot of room .",
        "my uncle collects {x} , too .",
    ),
    asks=(
        Ask(
            "how many {x} do you have ?",
            ("more than i can count .", "{years} hundred by now ."),
            ("wow , that is a lot .",),
        ),
        Ask(
            "which one do you like best ?",
            ("the very first one .", "a very old one from my uncle ."),
        ),
    ),
    table="""
        x          | h1                          | h2
        stamps     | little squares from letters | old mail
        coins      | silver and copper           | money from lost empires
        hats       | things to wear on my head   | caps and bonnets
        records    | vinyl                       | albums from the sixties
        dolls      | tiny girls made of china    | toys in pretty dresses
        sea shells | finds from the beach        | what the ocean washed up
        clocks     | things that tick            | something that tells the time
        teapots    | things that pour            | porcelain with a spout
        masks      | fake faces                  | something to hide behind
        postcards  | greetings from far away     | what people send from vacation
        toy trains | small engines               | tiny rails
        spoons     | small silver tools          | what other people use for soup
        rocks      | minerals                    | crystals
    """,
)

TALENT = Kind(
    name="talent",
    original="i can {x}.",
    revised=("at parties i show how i {h1}.", "my friends often ask me for {h2}."),
    questions=(
        "do you have a special talent ?",
        "is there something that you are really good at ?",
    ),
    answers=(
        "i can {x} .",
        "believe it or not , i can {x} .",
        "i can {x} better than anyone .",
    ),
    blanks=(
        "i have no special talent .",
        "i am not really good at anything .",
    ),
    comments=(
        "i want to see that .",
        "i could never {x} .",
        "you should be on tv .",
    ),
    asks=(
        Ask(
            "who taught you that ?",
            ("nobody , it just happened .", "a man from a circus ."),
        ),
        Ask(
            "how long did it take to learn ?",
            ("{years} years .", "only one summer ."),
        ),
    ),
    table="""
        x                | h1                          | h2
        juggle           | keep five balls in the air  | a trick with flying oranges
        whistle          | blow a tune                 | birdsong from my lips
        walk on my hands | go upside down              | steps with my feet in the air
        yodel            | sing like the swiss         | sounds from the alps
        breathe fire     | spit flames                 | a show with torches
        throw knives     | hit a target with blades    | an act with daggers
        do a backflip    | turn over in the air        | a leap with a twist
        wiggle my ears   | move something by my cheeks | my funny face
    """,
)

VEHICLE = Kind(
    name="vehicle",
    original="i drive {x}.",
    revised=("in my garage there is {h1}.", "i get around {h2}."),
    questions=(
        "do you drive ?",
        "what do you drive ?",
    ),
    answers=(
        "i drive {x} .",
        "i drive {x} , and i love it .",
        "you can see me on every road , i drive {x} .",
        "i own {x} .",
    ),
    blanks=(
        "i do not drive .",
        "i do not have a car .",
    ),
    comments=(
        "i always wanted to drive {x} .",
        "take me for a ride one day .",
        "{x} must be fun to drive .",
    ),
    asks=(
        Ask(
            "what color is your {bare} ?",
            ("it was white once .", "you can not tell , it is too dirty .", "green like my eyes ."),
        ),
        Ask(
            "is it fast ?",
            ("fast enough for me .", "no , but it always gets me home ."),
        ),
    ),
    table="""
        x               | h1                            | h2
        a big truck     | a pickup                      | with a lot of load behind me
        an old van      | a rusty box on wheels         | with room for nine
        a motorcycle    | a harley                      | on two loud wheels
        a sports car    | a ferrari                     | faster than everyone
        a tractor       | a farm machine                | slowly on huge tires
        a scooter       | a vespa                       | on two small wheels
        a school bus    | something long for forty kids | with a stop at every corner
        an electric car | a tesla                       | without gas
        a convertible   | something without a roof      | with the wind in my hair
        a jeep          | a machine for rough roads     | over mud and rocks
        a camper        | a bedroom on wheels           | with my bed and stove in the back
        a limousine     | something long and shiny      | in leather seats for eight
    """,
)

KINDS = (SPORT, CRAFT, COLLECTION, TALENT, VEHICLE)
