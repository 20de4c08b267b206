"""Music, instruments, books and films."""

from p2bot_parlai.tasks.sketch.grammar.kind import Ask, Kind

MUSIC = Kind(
    name="music",
    original="i listen to {x}.",
    revised=("all night i could enjoy {h1}.", "my headphones are full of {h2}."),
    questions=(
        "what kind of music do you like ?",
        "what do you listen to ?",
        "what music is on your phone ?",
    ),
    answers=(
        "i listen to {x} .",
        "i listen to {x} all day .",
        "mostly {x} , when i listen to music .",
        "i am a big fan of {x} .",
    ),
    blanks=(
        "i do not listen to music much .",
        "music is not my thing .",
    ),
    comments=(
        "my neighbor likes {x} , too .",
        "i do not know much about {x} .",
        "i can not stop dancing when i hear {x} .",
    ),
    asks=(
        Ask(
            "do you go to concerts ?",
            ("yes , whenever i can .", "no , tickets cost too much ."),
        ),
        Ask(
            "who taught you to like {x} ?",
            ("my father did .", "i heard it on the radio ."),
        ),
    ),
    table="""
        x               | h1                        | h2
        jazz            | a smoky bar with a swing  | louis armstrong
        rock            | electric solos            | loud bands like queen
        country music   | cowboy songs              | songs about trucks
        rap             | fast rhymes               | words over a beat
        opera           | ladies who sing very high | tragic italian tenors
        folk music      | songs from the old days   | campfire tunes
        heavy metal     | noise and black leather   | men who scream
        reggae          | rhythms from jamaica      | bob marley
        the blues       | sad songs from the south  | songs of broken hearts
        classical music | mozart                    | orchestras
        pop             | the charts                | catchy hits
        techno          | a dj with lights          | computer beats
    """,
)

INSTRUMENT = Kind(
    name="instrument",
    original="i play the {x}.",
    revised=("i make music with {h1}.", "my neighbors hear me practice on {h2}."),
    questions=(
        "do you play an instrument ?",
        "do you make music yourself ?",
    ),
    answers=(
        "i play the {x} .",
        "i play the {x} , but not too well .",
        "i can play the {x} .",
        "every evening i play the {x} .",
    ),
    blanks=(
        "i do not play any instrument .",
        "i never learned an instrument .",
    ),
    comments=(
        "the {x} has a lovely sound .",
        "i would love to hear you on the {x} .",
        "i tried the {x} once , it was awful .",
    ),
    asks=(
        Ask(
            "how long have you played the {x} ?",
            ("for {years} years .", "since i was a kid ."),
            ("you must be good by now .",),
        ),
        Ask(
            "do you play for other people ?",
            ("only for my friends .", "no , i am too shy .", "yes , at weddings ."),
        ),
    ),
    table="""
        x         | h1                   | h2
        guitar    | six strings          | something that i strum
        piano     | black and white keys | something with pedals
        drums     | two sticks           | something that i hit
        violin    | a bow                | something under my chin
        flute     | a silver tube        | a thing that i blow from the side
        trumpet   | shiny brass          | a thing with three valves
        cello     | deep low strings     | something between my knees
        harp      | a tall golden frame  | something that angels hold
        banjo     | a twang              | something from the country
        accordion | bellows              | something that i squeeze
        harmonica | my lips              | a thing that fits in my pocket
        organ     | pipes in a church    | something as big as a wall
        bagpipes  | a bag full of air    | something scottish
    """,
)

BOOK = Kind(
    name="book",
    original="i love to read {x}.",
    revised=("beside my bed you find {h1}.", "late at night i can not put down {h2}."),
    questions=(
        "what do you like to read ?",
        "do you like to read ?",
        "what kind of books do you like ?",
    ),
    answers=(
        "i love to read {x} .",
        "i read {x} all the time .",
        "mostly i read {x} .",
        "i have read {x} since i was ten .",
    ),
    blanks=(
        "i do not read much .",
        "i never find the time to read .",
    ),
    comments=(
        "a friend of mine reads {x} , too .",
        "i should read more .",
        "that is a good way to spend an evening .",
    ),
    asks=(
        Ask(
            "how much do you read ?",
            ("{years} hours a week .", "every night before i sleep ."),
        ),
        Ask(
            "where do you get them ?",
            ("from the library .", "my friends give them to me ."),
        ),
    ),
    table="""
        x                 | h1                       | h2
        fantasy novels    | dragons and wizards      | tales of magic
        detective stories | sherlock holmes          | clues and murders
        poems             | verses that rhyme        | a page of shakespeare
        love stories      | kisses and broken hearts | affairs with a happy end
        history books     | tales of old kings       | the past
        cookbooks         | recipes                  | a hundred ways to make soup
        travel guides     | maps of far countries    | tips for tourists
        science fiction   | rockets and aliens       | robots of the future
        fairy tales       | cinderella               | princes and frogs
        newspapers        | yesterday in headlines   | the daily news
        comics            | batman and his friends   | drawings with few words
    """,
)

FILM = Kind(
    name="film",
    original="i watch a lot of {x}.",
    revised=("in the cinema i want {h1}.", "on my screen there is always {h2}."),
    questions=(
        "what movies do you like ?",
        "what do you watch on tv ?",
        "do you like movies ?",
    ),
    answers=(
        "i watch a lot of {x} .",
        "i love to watch {x} .",
        "on weekends i watch {x} .",
        "i watch {x} with my friends .",
    ),
    blanks=(
        "i do not watch much .",
        "i do not own a tv .",
    ),
    comments=(
        "i fall asleep when i watch {x} .",
        "{x} are great on a rainy day .",
        "my father loves {x} , too .",
    ),
    asks=(
        Ask(
            "what was the last one that you saw ?",
            ("i forgot the name , it was old .", "one from france , it was very long ."),
        ),
        Ask(
            "do you watch them alone ?",
            ("yes , in bed .", "no , a friend comes over ."),
        ),
    ),
    table="""
        x               | h1                         | h2
        horror movies   | blood and screams          | a zombie
        war movies      | battles                    | a soldier with a gun
        westerns        | a duel at noon             | a cowboy
        cartoons        | drawings that move         | a mouse that talks
        musicals        | people who burst into song | somebody in tap shoes
        silent movies   | not one spoken word        | charlie chaplin
        spy movies      | secret agents              | james bond
        comedies        | to laugh                   | somebody who slips and falls
        nature films    | lions in the wild          | a penguin
        kung fu movies  | kicks and flying fists     | bruce lee
        disaster movies | floods and earthquakes     | a city that falls apart
    """,
)

KINDS = (MUSIC, INSTRUMENT, BOOK, FILM)
