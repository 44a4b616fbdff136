//! Booting one guest under QEMU and reading its console.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::images::Image;
use crate::cross::Architecture;
use crate::step::{Running, command};

/// A guest that is silent for this long hangs. Its tests each print a line, within seconds on an idle machine; how
/// many of them there are, and how busy this machine is, must not matter.
const SILENCE: Duration = Duration::from_mins(5);
/// The last line of `init.sh`. QEMU's own exit status says nothing: it is 0 after a panic too.
const DONE: &str = "guest: done";

/// A virtual machine to boot.
#[derive(Debug, Clone)]
pub struct Guest {
    pub image: Image,
    pub cpus: u32,
}

/// How a guest ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It ran everything and powered off.
    Done,
    /// QEMU exited before that: a panic, a reset.
    Died,
    /// It stopped printing.
    TimedOut,
}

/// What a guest printed on its serial line.
#[derive(Debug)]
pub struct Console {
    /// Each with the time since the guest was started.
    pub lines: Vec<(Duration, String)>,
    pub end: End,
    pub took: Duration,
}

impl Guest {
    pub fn boot(&self, initramfs: &Path) -> Result<Console> {
        let started = Instant::now();
        let mut qemu = self.qemu(initramfs);
        qemu.stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut running = Running::start(qemu)?;
        let stdout = running.take_stdout().context("the console was not captured")?;
        let (sender, receiver) = channel();
        // Ends when QEMU does, which `running` sees to.
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).split(b'\n').map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let mut lines = Vec::new();
        let end = loop {
            match receiver.recv_timeout(SILENCE) {
                Ok(line) => {
                    let line = String::from_utf8_lossy(&line).trim_end_matches('\r').to_owned();
                    lines.push((started.elapsed(), line));
                }
                Err(RecvTimeoutError::Timeout) => break End::TimedOut,
                Err(RecvTimeoutError::Disconnected) => {
                    running.wait()?;
                    break if lines.iter().any(|(_, line)| line == DONE) { End::Done } else { End::Died };
                }
            }
        };
        Ok(Console { lines, end, took: started.elapsed() })
    }

    fn qemu(&self, initramfs: &Path) -> Command {
        let Image { architecture, kernel, .. } = &self.image;
        let (program, machine, processor, shift, console) = match architecture {
            Architecture::X86_64 => ("qemu-system-x86_64", "q35", "max", 5, "ttyS0"),
            // Its emulated PMU counts cycles and instructions, if an instruction takes 1 or 2 ns.
            Architecture::Arm64 => {
                ("qemu-system-aarch64", "virt,dtb-randomness=off", "cortex-a72", 1, "ttyAMA0")
            }
            Architecture::Armv7 => ("qemu-system-arm", "virt,dtb-randomness=off", "cortex-a15", 1, "ttyAMA0"),
        };
        let mut qemu = command(program, &["-M", machine, "-cpu", processor]);
        if *architecture == Architecture::X86_64 && self.cpus > 1 {
            // At a fixed instruction rate two of these wait for each other forever: their clock is ours. Emulated
            // in turns by one thread, because kernels sometimes stumble where two emulate them at once.
            qemu.args(["-accel", "tcg,thread=single"]);
        } else {
            // An instruction takes 2^shift ns of the guest's time and idle time takes none of ours, so a guest neither
            // notices how busy this machine is nor waits; with the rest of these its counts repeat exactly.
            qemu.args(["-icount", &format!("shift={shift},sleep=off")]).args([
                "-rtc",
                "base=2026-01-01,clock=vm",
                "-seed",
                "1",
            ]);
        }
        qemu.args(["-smp", &self.cpus.to_string(), "-m", "1024"])
            .args(["-nographic", "-no-reboot", "-nodefaults", "-serial", "mon:stdio"])
            // Disks without a file: reads give zeroes, writes are forgotten.
            .args(["-blockdev", "driver=null-co,node-name=first,size=67108864,read-zeroes=on"])
            .args(["-device", "virtio-blk-pci,drive=first"])
            .args(["-blockdev", "driver=null-co,node-name=second,size=67108864,read-zeroes=on"])
            .args(["-device", "virtio-blk-pci,drive=second"])
            .arg("-kernel")
            .arg(kernel)
            .arg("-initrd")
            .arg(initramfs)
            .args(["-append", &format!("console={console} panic=-1 quiet nokaslr norandmaps")]);
        qemu
    }
}

impl std::fmt::Display for Guest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.image.architecture, self.image.version)?;
        write!(f, ", {} CPU{}", self.cpus, if self.cpus == 1 { "" } else { "s" })
    }
}
