"""What relight does otherwise than OTP on purpose, and how it is kept out of the comparison."""

DEVIATIONS = {
    "the restart window": (
        "relight's is a float on its own clock, OTP's counts whole seconds; "
        "all periods are an hour, so that neither clock matters"
    ),
    "backoff": "OTP has none; no child has one here",
    "ref.stop()": "stops a child for good, whatever its restart type; OTP would restart it; never called",
    "a message for the next incarnation": (
        "relight's mailboxes outlive a restart, so a request to a permanent supervisor that gives up is "
        "answered by its next incarnation, where OTP's caller gets an exit; such supervisors are asked nothing "
        "while they are suspended"
    ),
    "a ref after a restart": (
        "a dynamic child keeps its ref where OTP's gets a new pid; none is terminated while its supervisor has "
        "yet to hear of its end"
    ),
    "ignore when a dynamic child restarts": (
        "OTP keeps an entry without a process, relight drops the child; such a child ignores its first start only"
    ),
    "counting a dynamic supervisor": (
        "OTP counts as active all it has not heard the end of, relight those that are alive, and relight counts "
        "a spec for each child, OTP one; counted at rest, and specs are not compared"
    ),
    "auto shutdown and init of a dynamic supervisor": "relight's has neither",
    "the order of a dynamic supervisor's children": (
        "they stop at the same time, and OTP lists them in no order; both are sorted"
    ),
    "killing a supervisor": (
        "OTP's children hear of it by signals, later, in any order and run their stop hooks; relight kills them "
        "with it; no supervisor is killed"
    ),
    "an ignored start": "OTP answers {ok, undefined}, relight with a ref that has ended; taken as the same",
}
"""Each deviation, and what is done about it."""
