//! The client behind trusted proxies: `X-Forwarded-For`, or `Forwarded` (RFC 7239).
//!
//! Each proxy appends its peer, so the header is read from its end, one field at a time, as long as the hop that wrote
//! the field is trusted. Everything further left may come from the client and is never looked at. An unreadable field
//! ends the chain at the hop that wrote it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use axum::http::HeaderMap;

use crate::config::ProxyHeader;

pub(super) fn client_address(
    peer: IpAddr,
    headers: &HeaderMap,
    trusted: &[IpAddr],
    told_in: ProxyHeader,
) -> IpAddr {
    let mut address = peer;
    for field in fields_from_the_right(headers, told_in) {
        if !trusted.contains(&address) {
            break;
        }
        let hop = match told_in {
            ProxyHeader::XForwardedFor => node(field),
            ProxyHeader::Forwarded => forwarded_for(field),
        };
        match hop {
            Some(previous) => address = previous.to_canonical(),
            // Whoever it is, it is not this machine, which the attempt limits favour.
            None if address.is_loopback() => return IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            None => break,
        }
    }
    address
}

/// The fields of all header lines, last one first.
fn fields_from_the_right(headers: &HeaderMap, told_in: ProxyHeader) -> impl Iterator<Item = &[u8]> {
    // A HeaderMap's values cannot be iterated backwards.
    let lines: Vec<&[u8]> = headers.get_all(told_in.as_str()).iter().map(|line| line.as_bytes()).collect();
    lines.into_iter().rev().flat_map(move |line| {
        let mut rest = Some(line);
        std::iter::from_fn(move || {
            let line = rest?;
            let (before, field) = split_last(line, b',', told_in == ProxyHeader::Forwarded);
            rest = before;
            Some(field.trim_ascii())
        })
    })
}

/// Splits at the last separator; with `quoted` at the last one outside quotes, counted from the right, so that a quote
/// left open by a client does not swallow what proxies appended.
fn split_last(line: &[u8], separator: u8, quoted: bool) -> (Option<&[u8]>, &[u8]) {
    let mut within = false;
    for (at, byte) in line.iter().enumerate().rev() {
        if *byte == b'"' && quoted {
            within = !within;
        } else if *byte == separator && !within {
            return (Some(&line[..at]), &line[at + 1..]);
        }
    }
    (None, line)
}

/// The address in the `for=` of one element of `Forwarded`.
fn forwarded_for(element: &[u8]) -> Option<IpAddr> {
    let mut found = None;
    let mut rest = Some(element);
    while let Some(pairs) = rest {
        let (before, pair) = split_last(pairs, b';', true);
        rest = before;
        let equals = pair.iter().position(|byte| *byte == b'=')?;
        let (name, value) = (pair[..equals].trim_ascii(), pair[equals + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"for") {
            let value = match value {
                [b'"', inner @ .., b'"'] => inner,
                value => value,
            };
            if found.replace(node(value)?).is_some() {
                return None;
            }
        }
    }
    found
}

/// `192.0.2.1`, `192.0.2.1:4711`, `2001:db8::1`, `[2001:db8::1]` or `[2001:db8::1]:4711`.
fn node(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?;
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    if let Some(rest) = text.strip_prefix('[') {
        let (address, port) = rest.split_once(']')?;
        let port_is_one = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
        return address.parse::<Ipv6Addr>().ok().filter(|_| port_is_one).map(IpAddr::V6);
    }
    let (address, port) = text.split_once(':')?;
    address.parse::<Ipv4Addr>().ok().filter(|_| is_port(port)).map(IpAddr::V4)
}

fn is_port(text: &str) -> bool {
    // `+80` would parse.
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;
    use proptest::prelude::*;

    const PROXY: &str = "10.0.0.1";

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn client_of(told_in: ProxyHeader, peer: &str, lines: &[&[u8]]) -> IpAddr {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(told_in.as_str(), HeaderValue::from_bytes(line).unwrap());
        }
        client_address(ip(peer), &headers, &[ip(PROXY), ip("10.0.0.2"), ip("127.0.0.1")], told_in)
    }

    fn behind(lines: &[&[u8]]) -> IpAddr {
        client_of(ProxyHeader::XForwardedFor, PROXY, lines)
    }

    #[test]
    fn forwarded_addresses_are_believed_only_from_trusted_proxies() {
        let chain: &[&[u8]] = &[b"6.6.6.6, 192.0.2.7, 10.0.0.2"];
        assert_eq!(behind(chain), ip("192.0.2.7"));
        assert_eq!(
            client_of(ProxyHeader::XForwardedFor, "198.51.100.1", chain),
            ip("198.51.100.1"),
            "a stranger's word"
        );
        assert_eq!(behind(&[]), ip(PROXY));
    }

    #[test]
    fn what_a_client_sent_changes_nothing_of_what_the_proxy_appended() {
        for sent in [&b"\xff"[..], b"nonsense", b"", b"127.0.0.1", b",,,", b"\"", b"10.0.0.1, \xc3\x28"] {
            assert_eq!(behind(&[&[sent, b", 192.0.2.7"].concat()]), ip("192.0.2.7"), "{sent:?}");
            assert_eq!(behind(&[sent, b"192.0.2.7"]), ip("192.0.2.7"), "{sent:?} in a line of its own");
        }
    }

    #[test]
    fn ports_and_brackets_are_read() {
        for (told, address) in [
            ("192.0.2.7:4711", "192.0.2.7"),
            ("2001:db8::7", "2001:db8::7"),
            ("[2001:db8::7]", "2001:db8::7"),
            ("[2001:db8::7]:4711", "2001:db8::7"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("\t192.0.2.7 ", "192.0.2.7"),
        ] {
            assert_eq!(behind(&[told.as_bytes()]), ip(address), "{told}");
        }
    }

    #[test]
    fn what_cannot_be_read_ends_the_chain_at_the_nearest_trusted_hop() {
        for unreadable in
            ["unknown", "_hidden", "", "192.0.2.7:", "192.0.2.7:99999", "[192.0.2.7]", "[::1", "fe80::1%eth0"]
        {
            let line = format!("6.6.6.6, {unreadable}");
            assert_eq!(behind(&[line.as_bytes()]), ip(PROXY), "{unreadable:?}");
            let line = format!("6.6.6.6, {unreadable}, 10.0.0.2");
            assert_eq!(behind(&[line.as_bytes()]), ip("10.0.0.2"), "{unreadable:?}");
        }
    }

    #[test]
    fn nobody_unreadable_is_taken_for_the_machine_itself() {
        let local = |line: &[u8]| client_of(ProxyHeader::XForwardedFor, "127.0.0.1", &[line]);
        assert_eq!(local(b"\xff"), ip("0.0.0.0"));
        assert_eq!(local(b"192.0.2.7"), ip("192.0.2.7"), "the control");
    }

    #[test]
    fn forwarded_is_read_likewise() {
        let behind = |lines: &[&[u8]]| client_of(ProxyHeader::Forwarded, PROXY, lines);
        for (told, address) in [
            ("for=192.0.2.7", "192.0.2.7"),
            ("For=\"[2001:db8::7]:4711\";proto=https;by=10.0.0.1", "2001:db8::7"),
            ("proto=http; for=\"192.0.2.7:80\"", "192.0.2.7"),
            ("for=6.6.6.6, for=192.0.2.7, for=10.0.0.2", "192.0.2.7"),
            // Left open by the client.
            ("for=\"6.6.6.6, for=192.0.2.7", "192.0.2.7"),
            ("for=\"_a,b\";x=\";\", for=192.0.2.7", "192.0.2.7"),
            ("for=6.6.6.6, for=unknown", PROXY),
            ("for=6.6.6.6, for=\"_hidden\"", PROXY),
            ("for=6.6.6.6, proto=http", PROXY),
            ("for=6.6.6.6, for=192.0.2.7;for=192.0.2.8", PROXY),
            ("for=6.6.6.6, for", PROXY),
        ] {
            assert_eq!(behind(&[told.as_bytes()]), ip(address), "{told}");
        }
        assert_eq!(behind(&[b"for=\xff", b"for=192.0.2.7"]), ip("192.0.2.7"));
    }

    #[test]
    fn only_the_header_that_the_proxy_writes_is_read() {
        let mut headers = HeaderMap::new();
        headers.insert("forwarded", HeaderValue::from_static("for=6.6.6.6"));
        let trusted = [ip(PROXY)];
        let client = client_address(ip(PROXY), &headers, &trusted, ProxyHeader::XForwardedFor);
        assert_eq!(client, ip(PROXY), "sent by the client and passed on");
    }

    fn header_line() -> impl Strategy<Value = Vec<u8>> {
        let pieces: Vec<&[u8]> = vec![
            b"192.0.2.1",
            b"10.0.0.1",
            b"10.0.0.2",
            b"127.0.0.1",
            b"for=",
            b"[2001:db8::1]",
            b":80",
            b",",
            b";",
            b"\"",
            b" ",
            b"\xff",
            b"unknown",
            b"\\",
            b"=",
        ];
        let pieces = proptest::sample::select(pieces);
        proptest::collection::vec(pieces, 0..12).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn whatever_a_client_sends_the_proxys_own_field_counts(
            sent in proptest::collection::vec(header_line(), 0..4),
            host in 1u8..250,
        ) {
            let client = format!("198.51.100.{host}");
            for (told_in, own) in [
                (ProxyHeader::XForwardedFor, client.clone()),
                (ProxyHeader::Forwarded, format!("for={client}")),
                (ProxyHeader::Forwarded, format!("for=\"{client}:4711\";proto=https")),
            ] {
                let mut lines: Vec<&[u8]> = sent.iter().map(Vec::as_slice).collect();
                lines.push(own.as_bytes());
                prop_assert_eq!(client_of(told_in, PROXY, &lines), ip(&client));
                // Appended to the last line instead.
                let joined = [&lines[..lines.len() - 1].join(&b", "[..]), own.as_bytes()].join(&b","[..]);
                prop_assert_eq!(client_of(told_in, PROXY, &[&joined]), ip(&client));
            }
        }

        /// Real headers with a few bytes changed: only a trusted hop moves the client's address.
        #[test]
        fn mutated_headers_name_nobody_but_the_proxies_for_a_stranger(mutations in crate::mutation::mutations()) {
            for (told_in, line) in [
                (ProxyHeader::XForwardedFor, "6.6.6.6, [2001:db8::7]:4711, 192.0.2.7:80, 10.0.0.2"),
                (ProxyHeader::Forwarded, "for=\"[2001:db8::7]:4711\";proto=https;by=10.0.0.1, For=192.0.2.7;host=\"a,b\""),
            ] {
                let mut line = line.as_bytes().to_vec();
                crate::mutation::mutate(&mut line, &mutations);
                // Other bytes never reach a header.
                line.retain(|byte| HeaderValue::from_bytes(&[*byte]).is_ok());
                let _ = client_of(told_in, PROXY, &[&line]);
                prop_assert_eq!(client_of(told_in, "203.0.113.1", &[&line]), ip("203.0.113.1"));
                let own = if told_in == ProxyHeader::Forwarded { "for=198.51.100.9" } else { "198.51.100.9" };
                prop_assert_eq!(client_of(told_in, PROXY, &[&line, own.as_bytes()]), ip("198.51.100.9"));
            }
        }

        #[test]
        fn no_bytes_panic_and_strangers_stay_themselves(lines in proptest::collection::vec(header_line(), 0..4)) {
            let lines: Vec<&[u8]> = lines.iter().map(Vec::as_slice).collect();
            for told_in in [ProxyHeader::XForwardedFor, ProxyHeader::Forwarded] {
                let _ = client_of(told_in, PROXY, &lines);
                prop_assert_eq!(client_of(told_in, "203.0.113.1", &lines), ip("203.0.113.1"));
            }
        }
    }
}
