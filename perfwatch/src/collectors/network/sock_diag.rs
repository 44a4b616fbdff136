//! Counts of TCP sockets by state, from the kernel's socket diagnostics (sock_diag(7)).
//!
//! Only the sockets asked for cross into user space. Reading `/proc/net/tcp` instead formats every socket as text.

use std::io;
use std::os::fd::OwnedFd;

use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, sendto, socket_with};

const TCP_CLOSE_WAIT: u8 = 8;
const TCP_LISTEN: u8 = 10;

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_DUMP: u16 = 0x300;

/// `struct nlmsghdr`: length, type, flags, sequence number, port.
const HEADER: usize = 16;
/// `struct inet_diag_req_v2`: family, protocol, extensions, padding, states, and a socket's address, all zeros here.
const REQUEST: usize = 56;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) close_wait: u64,
    pub(super) listen: u64,
}

#[derive(Debug)]
pub(super) struct SockDiag {
    socket: OwnedFd,
    buffer: Vec<u8>,
}

impl SockDiag {
    /// Opens the socket. It is bound for good to the network namespace that the calling thread is in now.
    pub(super) fn open() -> io::Result<Self> {
        let socket = socket_with(
            AddressFamily::NETLINK,
            SocketType::DGRAM,
            SocketFlags::CLOEXEC,
            Some(netlink::SOCK_DIAG),
        )?;
        Ok(Self { socket, buffer: Vec::new() })
    }

    /// Counts the sockets of both address families.
    pub(super) fn count(&mut self) -> io::Result<Count> {
        let mut count = Count::default();
        for family in [AddressFamily::INET, AddressFamily::INET6] {
            self.dump(family, &mut count)?;
        }
        Ok(count)
    }

    fn dump(&mut self, family: AddressFamily, count: &mut Count) -> io::Result<()> {
        let kernel = SocketAddrNetlink::new(0, 0);
        sendto(&self.socket, &request(family), SendFlags::empty(), &kernel)?;
        // The kernel fills at most 32 KiB per answer.
        self.buffer.resize(32 * 1024, 0);
        loop {
            let (length, _) = recv(&self.socket, &mut self.buffer[..], RecvFlags::empty())?;
            if add(&self.buffer[..length], count)? {
                return Ok(());
            }
        }
    }
}

fn request(family: AddressFamily) -> [u8; HEADER + REQUEST] {
    const IPPROTO_TCP: u8 = 6;
    const STATES: u32 = 1 << TCP_CLOSE_WAIT | 1 << TCP_LISTEN;
    let mut request = [0; HEADER + REQUEST];
    request[..4].copy_from_slice(&((HEADER + REQUEST) as u32).to_ne_bytes());
    request[4..6].copy_from_slice(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    request[6..8].copy_from_slice(&(NLM_F_REQUEST | NLM_F_DUMP).to_ne_bytes());
    request[HEADER] = family.as_raw() as u8; // AF_INET is 2, AF_INET6 10
    request[HEADER + 1] = IPPROTO_TCP;
    request[HEADER + 4..HEADER + 8].copy_from_slice(&STATES.to_ne_bytes());
    request
}

/// Adds the sockets of one answer; true at the end of the dump.
fn add(mut answer: &[u8], count: &mut Count) -> io::Result<bool> {
    let malformed = || io::Error::new(io::ErrorKind::InvalidData, "not a sock_diag answer");
    while !answer.is_empty() {
        let header = answer.get(..HEADER).ok_or_else(malformed)?;
        let length = u32::from_ne_bytes([header[0], header[1], header[2], header[3]]) as usize;
        let body = answer.get(HEADER..length).ok_or_else(malformed)?;
        match u16::from_ne_bytes([header[4], header[5]]) {
            NLMSG_DONE => return Ok(true),
            NLMSG_ERROR => {
                let errno = body.first_chunk().map(|code| i32::from_ne_bytes(*code)).ok_or_else(malformed)?;
                return Err(io::Error::from_raw_os_error(errno.saturating_neg()));
            }
            // `struct inet_diag_msg` begins with family and state.
            SOCK_DIAG_BY_FAMILY => match body.get(1) {
                Some(&TCP_CLOSE_WAIT) => count.close_wait += 1,
                Some(&TCP_LISTEN) => count.listen += 1,
                _ => {}
            },
            _ => {}
        }
        answer = answer.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(false)
}
