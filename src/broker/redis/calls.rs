//! How often a server has carried out the commands that tell what happens to lists.

use crate::model::flow::{Misuses, Uses};
use std::iter::Sum;
use std::ops::Add;

/// Since the server was started.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Calls {
    /// Producers push one job with each.
    pub(super) lpush: u64,
    /// kombu's consumers note each message that they take with one.
    pub(super) zadd: u64,
    /// Whatever takes an element from the end that `LPUSH` fills last.
    pub(super) takes: u64,
    /// What lists that are used in order do not need.
    pub(super) misuses: Misuses,
}

/// Both a take at the right and something else, depending on their arguments.
const MOVES: [&str; 6] = [
    "rpoplpush",
    "brpoplpush",
    "lmove",
    "blmove",
    "lmpop",
    "blmpop",
];

/// Commands that may put an element anywhere into a list, or another list in its place.
const PUTS: [&str; 12] = [
    "linsert",
    "lset",
    "lmove",
    "blmove",
    "rename",
    "renamenx",
    "restore",
    "restore-asking",
    "copy",
    "move",
    "sort",
    "swapdb",
];

/// Commands that take or move an element from anywhere but the head. `RPOPLPUSH` puts what it takes at
/// the left, where jobs are pushed that are taken at the right.
const TAKES: [&str; 2] = ["lrem", "ltrim"];

// === impl Calls ===

impl Calls {
    /// Out of lines like `cmdstat_lpush:calls=12,usec=…`; 0 where there has been none yet.
    pub(super) fn from_info(commandstats: &[u8]) -> Self {
        let text = String::from_utf8_lossy(commandstats);
        let calls = text.lines().filter_map(|line| {
            let (command, rest) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
            let (calls, _) = rest.split_once(',')?;
            Some(Self::of(command, calls.parse().ok()?))
        });
        calls.sum()
    }

    /// So many calls of one command.
    fn of(command: &str, calls: u64) -> Self {
        let only = |is_it: bool| if is_it { calls } else { 0 };
        let at_left = ["lpop", "blpop"].contains(&command);
        let at_right = ["rpop", "brpop"].contains(&command);
        let moves = MOVES.contains(&command);
        let takes = TAKES.contains(&command) || moves;
        let puts = PUTS.contains(&command);
        let to_left = ["lpush", "lpushx", "rpoplpush", "brpoplpush"].contains(&command);
        let to_right = ["rpush", "rpushx"].contains(&command);
        Self {
            lpush: only(command == "lpush"),
            zadd: only(command == "zadd"),
            takes: only(at_right || moves),
            misuses: Misuses {
                left: Uses {
                    puts: only(puts || to_left),
                    takes: only(takes || at_right),
                },
                right: Uses {
                    puts: only(puts || to_right),
                    takes: only(takes || at_left),
                },
            },
        }
    }
}

impl Add for Calls {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        let uses = |a: Uses<u64>, b: Uses<u64>| Uses {
            puts: a.puts.saturating_add(b.puts),
            takes: a.takes.saturating_add(b.takes),
        };
        Self {
            lpush: self.lpush.saturating_add(other.lpush),
            zadd: self.zadd.saturating_add(other.zadd),
            takes: self.takes.saturating_add(other.takes),
            misuses: Misuses {
                left: uses(self.misuses.left, other.misuses.left),
                right: uses(self.misuses.right, other.misuses.right),
            },
        }
    }
}

impl Sum for Calls {
    fn sum<I: Iterator<Item = Self>>(calls: I) -> Self {
        calls.fold(Self::default(), Add::add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_told_apart_by_what_they_can_do_to_a_list() {
        let calls = Calls::from_info(
            b"# Commandstats\r\n\
              cmdstat_lpush:calls=5,usec=1,usec_per_call=0.1,rejected_calls=0,failed_calls=0\r\n\
              cmdstat_brpop:calls=4,usec=1\r\n\
              cmdstat_zadd:calls=3,usec=1\r\n\
              cmdstat_lrem:calls=20,usec=1\r\n\
              cmdstat_lmove:calls=100,usec=1\r\n\
              cmdstat_rpush:calls=1000,usec=1\r\n\
              cmdstat_llen:calls=77,usec=1\r\n\
              cmdstat_rpoplpush:calls=many,usec=1\r\n",
        );
        assert_eq!(
            calls,
            Calls {
                lpush: 5,
                zadd: 3,
                takes: 104,
                misuses: Misuses {
                    left: Uses {
                        puts: 105,
                        takes: 124
                    },
                    right: Uses {
                        puts: 1100,
                        takes: 120
                    },
                },
            }
        );
    }
}
