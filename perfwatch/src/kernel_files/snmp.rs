//! `/proc/net/snmp`: for each protocol a line of names, then one of values. TCP's counts both address families.

use super::fields::{self, Fields, lines};

/// TCP's counters since boot, and its connections now; `None` if this kernel does not report them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tcp {
    /// Connections that are established or in close-wait.
    pub established: Option<u64>,
    pub segments_received: Option<u64>,
    /// Without retransmitted ones.
    pub segments_sent: Option<u64>,
    pub segments_retransmitted: Option<u64>,
    /// Segments that reset or refuse a connection.
    pub resets_sent: Option<u64>,
}

impl Tcp {
    pub fn parse(text: &[u8]) -> Self {
        let mut tcp = lines(text).filter(|line| line.starts_with(b"Tcp:"));
        let (Some(names), Some(values)) = (tcp.next(), tcp.next()) else { return Self::default() };
        let mut found = Self::default();
        let (mut names, mut values) = (Fields::new(names), Fields::new(values));
        while let (Some(name), Some(value)) = (names.word(), values.word()) {
            let value = fields::number(value);
            match name {
                // Briefly negative, and printed without its sign.
                b"CurrEstab" => found.established = value.filter(|count| *count <= i32::MAX as u64),
                b"InSegs" => found.segments_received = value,
                b"OutSegs" => found.segments_sent = value,
                b"RetransSegs" => found.segments_retransmitted = value,
                b"OutRsts" => found.resets_sent = value,
                _ => {}
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_found_by_name() {
        let text =
            b"Ip: A InSegs\nIp: 1 2\nTcp: RtoMin MaxConn CurrEstab InSegs OutSegs RetransSegs OutRsts\n\
                     Tcp: 200 -1 5 30 40 42 6\n";
        let tcp = Tcp {
            established: Some(5),
            segments_received: Some(30),
            segments_sent: Some(40),
            segments_retransmitted: Some(42),
            resets_sent: Some(6),
        };
        assert_eq!(Tcp::parse(text), tcp);
    }

    #[test]
    fn what_is_cut_off_is_not_known() {
        assert_eq!(Tcp::parse(b"Tcp: CurrEstab\n"), Tcp::default());
        assert_eq!(Tcp::parse(b""), Tcp::default());
        assert_eq!(Tcp::parse(b"Tcp: CurrEstab\nTcp: 18446744073709551615\n"), Tcp::default());
        let cut = Tcp::parse(b"Tcp: CurrEstab InSegs OutSegs\nTcp: 1 2\n");
        assert_eq!((cut.established, cut.segments_received, cut.segments_sent), (Some(1), Some(2), None));
    }
}
