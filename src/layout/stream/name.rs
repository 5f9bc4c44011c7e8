//! One name for a stream and a group: `stream/group`. A slash in the group is written `%2F` and a
//! percent sign `%25`, so that no two pairs have one name.

pub(super) fn join(stream: &[u8], group: &[u8]) -> Vec<u8> {
    let mut name = [stream, b"/"].concat();
    for byte in group {
        match byte {
            b'/' => name.extend_from_slice(b"%2F"),
            b'%' => name.extend_from_slice(b"%25"),
            byte => name.push(*byte),
        }
    }
    name
}

/// The stream and the group of a name that [`join`] has made.
pub(super) fn split(name: &[u8]) -> (&[u8], Vec<u8>) {
    let cut = name.iter().rposition(|byte| *byte == b'/');
    let (stream, mut rest) = match cut.and_then(|cut| name.split_at_checked(cut)) {
        Some((stream, group)) => (stream, group.get(1..).unwrap_or_default()),
        None => (name, [].as_slice()),
    };
    let mut group = Vec::with_capacity(rest.len());
    while let Some((first, tail)) = rest.split_first() {
        let (byte, left) = match rest {
            [b'%', b'2', b'F', left @ ..] => (b'/', left),
            [b'%', b'2', b'5', left @ ..] => (b'%', left),
            _ => (*first, tail),
        };
        group.push(byte);
        rest = left;
    }
    (stream, group)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_name_reads_as_stream_and_group() {
        assert_eq!(join(b"orders", b"billing"), b"orders/billing");
        assert_eq!(join(b"a/b", b"c/d%"), b"a/b/c%2Fd%25");
        assert_eq!(split(b"no slash"), (b"no slash".as_slice(), Vec::new()));
    }

    proptest! {
        #[test]
        fn every_pair_has_a_name_of_its_own(stream: Vec<u8>, group in "[a%/25F]{0,8}") {
            let name = join(&stream, group.as_bytes());
            prop_assert_eq!(split(&name), (stream.as_slice(), group.into_bytes()));
        }
    }
}
