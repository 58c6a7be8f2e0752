"""The folder of a run, and what is written there for people and for going on."""
