"""The people: who there is, what each may do, and how each is known again."""
