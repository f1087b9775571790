//! What both ends of a tracker connection share: list, keys, TLS, messages, OPAQUE
