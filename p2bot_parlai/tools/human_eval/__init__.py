"""
Human evaluation of responses (section 5.2, Table 2), and responses side by side (Table 4).

`sampling` draws contexts, `answers` asks the systems, `study` hides who answered what,
`server` and `sheet` collect ratings, `ratings` stores them, `statistics` evaluates them,
`results` and `side_by_side` write the tables.
"""
