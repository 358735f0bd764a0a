//! GET requests that upstream's log refuses, with its words.

/// Path and query, status, reason.
pub(crate) const BAD_REQUESTS: [(&str, u16, &str); 21] = [
    (
        "get-sth-consistency",
        400,
        "failed to parse consistency range: parameter 'first' is required",
    ),
    (
        "get-sth-consistency?first=1",
        400,
        "failed to parse consistency range: parameter 'second' is required",
    ),
    (
        "get-sth-consistency?first=x&second=1",
        400,
        "failed to parse consistency range: parameter 'first' is malformed",
    ),
    (
        "get-sth-consistency?first=-1&second=1",
        400,
        "failed to parse consistency range: first and second params cannot be <0: -1 1",
    ),
    (
        "get-sth-consistency?first=2&second=1",
        400,
        "failed to parse consistency range: invalid first, second params: 2 1",
    ),
    (
        "get-sth-consistency?first=1&second=9",
        400,
        "need tree size: 9 for proof but only got: 1",
    ),
    (
        "get-proof-by-hash",
        400,
        "get-proof-by-hash: missing / empty hash param for get-proof-by-hash",
    ),
    (
        "get-proof-by-hash?hash=AAAA&tree_size=1",
        400,
        "get-proof-by-hash: invalid base64 hash: AAAA",
    ),
    (
        "get-proof-by-hash?hash=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA%3D&tree_size=0",
        400,
        "get-proof-by-hash: missing or invalid tree_size: 0",
    ),
    (
        "get-proof-by-hash?hash=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA%3D&tree_size=2",
        404,
        "log returned tree size: 1 but we expected: 2",
    ),
    (
        "get-proof-by-hash?hash=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA%3D&tree_size=1",
        404,
        "get-proof-by-hash: backend did not return a proof",
    ),
    (
        "get-entries",
        400,
        "bad range on get-entries request: strconv.ParseInt: parsing \"\": invalid syntax",
    ),
    (
        "get-entries?start=1&end=0",
        400,
        "bad range on get-entries request: start (1) and end (0) is not a valid range",
    ),
    (
        "get-entries?start=-1&end=0",
        400,
        "bad range on get-entries request: start (-1) and end (0) parameters must be >= 0",
    ),
    (
        "get-entries?start=0&end=9223372036854775808",
        400,
        "bad range on get-entries request: strconv.ParseInt: parsing \"9223372036854775808\": value out of range",
    ),
    (
        "get-entries?start=7&end=9223372036854775807",
        400,
        "need tree size: 8 to get leaves but only got: 1",
    ),
    (
        "get-entry-and-proof?leaf_index=0&tree_size=0",
        400,
        "failed to parse get-entry-and-proof params: tree_size must be > 0, got: 0",
    ),
    (
        "get-entry-and-proof?leaf_index=-1&tree_size=1",
        400,
        "failed to parse get-entry-and-proof params: leaf_index must be >= 0, got: 1",
    ),
    (
        "get-entry-and-proof?leaf_index=1&tree_size=1",
        400,
        "failed to parse get-entry-and-proof params: leaf_index 1 out of range for tree of size 1",
    ),
    (
        "get-entry-and-proof?leaf_index=0&tree_size=2",
        400,
        "need tree size: 2 for proof but only got: 1",
    ),
    ("add-chain", 405, "method not allowed: GET"),
];
