"""Which of these personas does the speaker have? (paper, sections 4.1 and 5.4)"""
