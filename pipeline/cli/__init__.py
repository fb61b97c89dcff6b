"""The command line: it parses, hands over to the runner, and prints.

    main.py        one call: words in, exit code out; every error becomes a message
    parser.py      the words, against the commands and their options
    command.py     what a command consists of
    commands/      a file for each command: its options and its output
    options.py     the options that several commands share
    context.py     the runner that a command works with
    output.py      stdout is data, stderr is narration
    exit_codes.py  what the rows of a run mean for whoever called us
    signals.py     Ctrl-C, and the end of a CI job

A command imports what it works with when it runs: ``--help`` and a misspelt option wait for nothing.
"""
