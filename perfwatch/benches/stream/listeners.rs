//! Thousands of clients in one thread, with minimal overhead: arrival times come from the kernel (`SO_TIMESTAMPING`),
//! so they don't depend on when this thread reads the message.
#![allow(unsafe_code)] // epoll and control messages have no safe wrapper that gives timestamps

use std::collections::BTreeMap;
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::SystemTime;

/// Bytes kept of a message's beginning: its head and everything up to its timestamp.
const BEGINNING: usize = 96;

/// Arrival times of each tick's message, ns since the epoch, by the message's timestamp.
#[derive(Debug, Default)]
pub struct Arrivals {
    pub ticks: BTreeMap<String, Vec<i64>>,
    /// Bytes of the last message.
    pub size: usize,
}

#[derive(Debug)]
pub struct Listeners {
    pub arrivals: Arc<Mutex<Arrivals>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Listeners {
    /// Takes over sockets whose handshake is done.
    pub fn start(sockets: Vec<TcpStream>) -> Self {
        let (arrivals, stop) = (Arc::<Mutex<Arrivals>>::default(), Arc::new(AtomicBool::new(false)));
        let thread = std::thread::spawn({
            let (arrivals, stop) = (Arc::clone(&arrivals), Arc::clone(&stop));
            move || listen(sockets, &arrivals, &stop)
        });
        Self { arrivals, stop, thread: Some(thread) }
    }
}

impl Drop for Listeners {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn listen(sockets: Vec<TcpStream>, arrivals: &Mutex<Arrivals>, stop: &AtomicBool) {
    // SAFETY: no preconditions.
    let epoll = unsafe { libc::epoll_create1(0) };
    assert!(epoll >= 0, "{}", std::io::Error::last_os_error());
    let mut clients: Vec<(TcpStream, Reading)> = Vec::with_capacity(sockets.len());
    for (number, socket) in sockets.into_iter().enumerate() {
        socket.set_nonblocking(true).unwrap();
        ask_for_timestamps(&socket);
        let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: number as u64 };
        // SAFETY: both descriptors are open, and the event is copied.
        let added =
            unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, socket.as_raw_fd(), &raw mut event) };
        assert_eq!(added, 0, "{}", std::io::Error::last_os_error());
        clients.push((socket, Reading::default()));
    }
    let mut ready = vec![libc::epoll_event { events: 0, u64: 0 }; 1024];
    let mut buffer = vec![0u8; 256 * 1024];
    while !stop.load(Ordering::Relaxed) {
        let most = i32::try_from(ready.len()).unwrap();
        // SAFETY: there is room for `most` events.
        let count = unsafe { libc::epoll_wait(epoll, ready.as_mut_ptr(), most, 100) };
        for event in &ready[..usize::try_from(count).unwrap_or(0)] {
            let number = event.u64 as usize;
            let (socket, reading) = &mut clients[number];
            match receive(socket, &mut buffer) {
                Some((0, _)) => {
                    // The server has closed it; closed sockets are removed from the epoll automatically.
                    let _ = socket.shutdown(std::net::Shutdown::Both);
                    // SAFETY: both descriptors are open.
                    unsafe {
                        libc::epoll_ctl(epoll, libc::EPOLL_CTL_DEL, socket.as_raw_fd(), std::ptr::null_mut());
                    }
                }
                Some((length, at)) => reading.take(&buffer[..length], at, arrivals),
                None => {}
            }
        }
    }
    // SAFETY: we own it, and it is no longer used.
    unsafe { libc::close(epoll) };
}

fn ask_for_timestamps(socket: &TcpStream) {
    let flags = libc::SOF_TIMESTAMPING_RX_SOFTWARE | libc::SOF_TIMESTAMPING_SOFTWARE;
    // SAFETY: the option takes an int.
    let set = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_TIMESTAMPING,
            (&raw const flags).cast(),
            size_of_val(&flags) as libc::socklen_t,
        )
    };
    assert_eq!(set, 0, "{}", std::io::Error::last_os_error());
}

/// Number of bytes received, and when the last of them arrived, ns since the epoch. `None` if there are none.
fn receive(socket: &TcpStream, buffer: &mut [u8]) -> Option<(usize, i64)> {
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // Aligned like control messages.
    let mut control = [0u64; 16];
    // SAFETY: all-zero is an empty message.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of_val(&control);
    // SAFETY: buffer and control are valid for their stated lengths.
    let length = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, 0) };
    let length = usize::try_from(length).ok()?;
    // SAFETY: the kernel has filled in the message; the macros stay within its control part.
    unsafe {
        let mut header = libc::CMSG_FIRSTHDR(&raw const message);
        while !header.is_null() {
            if (*header).cmsg_level == libc::SOL_SOCKET && (*header).cmsg_type == libc::SCM_TIMESTAMPING {
                let time: libc::timespec = std::ptr::read_unaligned(libc::CMSG_DATA(header).cast());
                return Some((length, time.tv_sec * 1_000_000_000 + time.tv_nsec));
            }
            header = libc::CMSG_NXTHDR(&raw const message, header);
        }
    }
    // It arrived before timestamps were enabled.
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    Some((length, i64::try_from(now.as_nanos()).unwrap()))
}

/// A client's position in its stream of frames.
#[derive(Debug, Default)]
struct Reading {
    beginning: Vec<u8>,
    /// Remaining bytes of the frame, once its head is known.
    left: Option<usize>,
}

impl Reading {
    fn take(&mut self, mut bytes: &[u8], at: i64, arrivals: &Mutex<Arrivals>) {
        while !bytes.is_empty() {
            if self.left.is_none() {
                let taken = (BEGINNING - self.beginning.len()).min(bytes.len());
                self.beginning.extend_from_slice(&bytes[..taken]);
                let Some((head, payload)) = length(&self.beginning) else { return };
                let whole = head + payload;
                if whole <= self.beginning.len() {
                    // A short frame, followed by the start of the next one.
                    bytes = &bytes[taken - (self.beginning.len() - whole)..];
                    self.beginning.clear();
                    continue;
                }
                if self.beginning.len() < BEGINNING {
                    return; // all of `bytes` is taken
                }
                bytes = &bytes[taken..];
                self.left = Some(whole - BEGINNING);
                continue;
            }
            let left = self.left.unwrap_or(0);
            let skipped = left.min(bytes.len());
            bytes = &bytes[skipped..];
            self.left = Some(left - skipped);
            if skipped == left {
                self.finish(at, arrivals);
            }
        }
    }

    fn finish(&mut self, at: i64, arrivals: &Mutex<Arrivals>) {
        let text = String::from_utf8_lossy(&self.beginning);
        if let Some((_, rest)) = text.split_once(r#""timestamp":""#) {
            let tick = rest.split('"').next().unwrap_or_default();
            let mut arrivals = arrivals.lock().unwrap();
            match arrivals.ticks.get_mut(tick) {
                Some(tick) => tick.push(at),
                None => drop(arrivals.ticks.insert(tick.to_owned(), vec![at])),
            }
            arrivals.size = length(&self.beginning).map_or(0, |(_, payload)| payload);
        }
        self.beginning.clear();
        self.left = None;
    }
}

/// Bytes of a frame's head and payload; `None` if too little has arrived. Server frames are not masked.
fn length(frame: &[u8]) -> Option<(usize, usize)> {
    match *frame.get(1)? {
        126 => Some((4, usize::from(u16::from_be_bytes(frame.get(2..4)?.try_into().ok()?)))),
        127 => Some((10, usize::try_from(u64::from_be_bytes(frame.get(2..10)?.try_into().ok()?)).ok()?)),
        short => Some((2, usize::from(short))),
    }
}
