//! What each job system looks like inside a broker: pure decoders, one file a system, one row in
//! [`LAYOUTS`]. No I/O, no clock: a layout says what to read and makes sense of the replies.

pub mod name;
pub mod redis;

