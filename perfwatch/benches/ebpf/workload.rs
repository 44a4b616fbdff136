//! A workload that causes every kind of event that the programs trace.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;
use std::process::Command;

use crate::trips::pin;

const CHILDREN: usize = 10;
const CONNECTIONS: usize = 20;
const READS: u64 = 50;
const MIGRATIONS: usize = 40;
const BLOCK: usize = 4096;

/// A file on a disk, if the temporary directory is in memory.
pub struct Workload {
    file: PathBuf,
}

impl Workload {
    pub fn new() -> Self {
        let file = std::env::current_exe().unwrap().with_extension("blocks");
        std::fs::write(&file, vec![7; READS as usize * BLOCK]).unwrap();
        std::fs::File::open(&file).unwrap().sync_all().unwrap();
        Self { file }
    }

    /// Processes, connections, direct reads and moves from CPU to CPU.
    pub fn run(&self) {
        for _ in 0..CHILDREN {
            assert!(Command::new(std::env::current_exe().unwrap()).arg("--exit").status().unwrap().success());
        }
        connect();
        self.read();
        std::thread::spawn(migrate).join().unwrap();
    }

    fn read(&self) {
        let file = std::fs::OpenOptions::new().read(true).custom_flags(libc::O_DIRECT).open(&self.file);
        // In-memory file systems don't support direct reads: then nothing is measured for block devices.
        let Ok(file) = file else { return };
        let mut memory = vec![0u8; 2 * BLOCK];
        let start = memory.as_ptr().align_offset(BLOCK);
        for block in 0..READS {
            file.read_exact_at(&mut memory[start..start + BLOCK], block * BLOCK as u64).unwrap();
        }
    }
}

impl Drop for Workload {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.file);
    }
}

/// Makes connections that transfer data both ways, and as many that are refused.
fn connect() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for _ in 0..CONNECTIONS {
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        let mut buffer = [0; 1000];
        client.write_all(&buffer).unwrap();
        server.read_exact(&mut buffer).unwrap();
        server.write_all(&buffer).unwrap();
        client.read_exact(&mut buffer).unwrap();
        assert!(TcpStream::connect(closed).is_err(), "nobody listens there");
    }
}

fn migrate() {
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    for cpu in (0..cpus).cycle().take(MIGRATIONS) {
        pin(cpu);
    }
}
