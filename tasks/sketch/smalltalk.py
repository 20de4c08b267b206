"""Utterances that reveal nothing about the speaker."""

HELLO = (
    "hi !",
    "hello !",
    "hey there !",
    "hello , nice to meet you .",
    "hi , good to meet you .",
    "good evening !",
)
HELLO_BACK = ("hi !", "hello !", "hey !", "hi there !", "hello to you , too !")
HOW_ARE_YOU = (
    "how are you ?",
    "how are you today ?",
    "how are you doing ?",
    "how are you these days ?",
    "how is it going ?",
)
FINE = (
    "i am fine , thanks .",
    "very well , thank you .",
    "not bad , thanks .",
    "a little tired , but fine .",
    "great , thank you .",
    "good , thanks for asking .",
)
AND_YOU = ("and you ?", "how about you ?", "what about you ?")
GOOD_TO_HEAR = ("good to hear .", "i am glad to hear that .", "that is nice to hear .")

# before one's own answer to "what about you ?"
NICE = ("oh , nice .", "interesting .", "cool .", "oh , really ?", "that is nice .", "i see .")
SAME = (
    "what a coincidence , me too !",
    "the same here !",
    "no way , just like me !",
    "we have that in common !",
)
SORRY = ("i see .", "i understand .", "oh , really ?", "i know what you mean .")
# to a "no" and to answers that call for no comment
NO_MATTER = ("fair enough .", "no problem .", "that is okay .", "all right .", "i see .")
I_SEE = ("i see .", "ah , okay .", "got it .", "oh , okay .", "all right .", "good to know .")

# before a question about something else, and before something of one's own
NEXT = ("", "", "", "", "so , ", "by the way , ", "tell me , ", "and ", "one more thing , ")
FIRST_NEXT = ("", "", "so , ", "tell me , ")
MY_TURN = ("", "", "", "by the way , ", "as for me , ", "you know , ", "let me tell you , ")
BOUNCE = (
    "what about you ?",
    "how about you ?",
    "and you ?",
    "and what about yourself ?",
    "how is that with you ?",
)

GOODBYE = (
    "i have to go now , it was nice to talk to you .",
    "sorry , i have to run . bye !",
    "it is late , i have to go . good night !",
    "it was fun to talk to you , bye !",
)
GOODBYE_BACK = (
    "bye , have a nice day !",
    "it was nice to meet you , bye !",
    "okay , see you !",
    "thanks for the chat , bye !",
    "goodbye , take care !",
)

# {years} and the like in the answers of the grammar
DETAILS = {
    "years": ("two", "three", "four", "five", "six", "seven", "eight", "nine"),
    "pet_name": ("rex", "bella", "max", "luna", "coco", "charlie", "daisy", "oscar", "molly"),
}
