"""The program on every capture box. Read `session`, then `accept`, `reconcile`, `supervisor`."""
