"""The command line's verbs, by what they are about; each a thin function over a module of `streams`."""
