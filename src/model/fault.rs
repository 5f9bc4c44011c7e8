//! The closed sets of what can go wrong: they are label values, so they never carry free text.

/// Why a poll, or part of one, failed. The `kind` label of `tailback_poll_errors_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ErrorKind {
    /// No connection could be made, or it broke.
    Connect,
    /// The broker refused who we are.
    Auth,
    /// The broker knows us and refused what we asked.
    Permission,
    /// No answer in time.
    Timeout,
    /// An answer that the protocol does not allow here, or a broker that is not ready to answer.
    Protocol,
    /// Bytes that are not what the job system writes.
    Decode,
    /// The TLS handshake failed.
    Tls,
    /// A fault of our own.
    Internal,
}

impl ErrorKind {
    pub const ALL: [Self; 8] = [
        Self::Connect,
        Self::Auth,
        Self::Permission,
        Self::Timeout,
        Self::Protocol,
        Self::Decode,
        Self::Tls,
        Self::Internal,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Auth => "auth",
            Self::Permission => "permission",
            Self::Timeout => "timeout",
            Self::Protocol => "protocol",
            Self::Decode => "decode",
            Self::Tls => "tls",
            Self::Internal => "internal",
        }
    }
}

/// Why a queue that was discovered is not exported. The `reason` label of
/// `tailback_broker_queues_dropped`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DropReason {
    /// More queues than `max_queues`.
    Limit,
    /// The broker refused to read it, or its keys have a type that the layout does not have.
    Unreadable,
    /// Another queue of this broker and system already has the same displayed name.
    NameCollision,
}

impl DropReason {
    pub const ALL: [Self; 3] = [Self::Limit, Self::Unreadable, Self::NameCollision];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Limit => "limit",
            Self::Unreadable => "unreadable",
            Self::NameCollision => "name_collision",
        }
    }
}
