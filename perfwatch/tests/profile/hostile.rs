//! Names from files that somebody wrote to do harm: asked of the real symbolizer, which may end but always comes back.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use object::read::elf::ElfFile64;
use object::{LittleEndian, Object, ObjectSymbol};
use perfwatch::profiles::samples::place::{FileId, Image, Place};
use perfwatch::profiles::samples::symbols::{NamedFile, Symbols};

use crate::{Running, compile};

/// Bytes of a name, and of the mark that it was cut.
const MAX_NAME: usize = 512 + '…'.len_utf8();

struct Asking {
    symbols: Symbols,
    files: u32,
}

impl Asking {
    fn new() -> Self {
        Self::of(env!("CARGO_BIN_EXE_perfwatch").into())
    }

    fn of(program: PathBuf) -> Self {
        Self { symbols: Symbols::new(program, "/proc/kallsyms".into()), files: 0 }
    }

    fn names(&self, place: Place) -> Vec<String> {
        let functions = self.symbols.functions(place).expect("it was learned");
        functions.iter().map(|function| function.name.to_string()).collect()
    }

    /// The names at addresses of a file, which is a new one each time.
    fn file(&mut self, path: &Path, addresses: &[u64]) -> Vec<Vec<String>> {
        self.files += 1;
        let id = FileId(self.files);
        let file = NamedFile {
            path: "/some/program".into(),
            file: Arc::new(File::open(path).unwrap()),
            functions: Default::default(),
        };
        let places: Vec<Place> = addresses.iter().map(|address| Place::File(id, *address)).collect();
        self.symbols.learn(places.iter().copied(), &HashMap::from([(id, file)]));
        places.iter().map(|place| self.names(*place)).collect()
    }
}

/// The address of a function.
fn address(program: &[u8], name: &str) -> u64 {
    let elf = ElfFile64::<LittleEndian, _>::parse(program).unwrap();
    let found = elf.symbols().find(|symbol| symbol.name() == Ok(name));
    found.unwrap().address()
}

fn assert_sound(names: &[Vec<String>]) {
    for name in names.iter().flatten() {
        assert!(!name.contains(char::is_control) && name.len() <= MAX_NAME, "{name:?}");
    }
}

/// The same numbers each time.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap() % limit
    }

    /// Changes some bytes, most of them where the file says what else there is, or cuts it.
    fn mutate(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..=self.below(8) {
            let from = [0, 0, bytes.len().saturating_sub(0x900)][self.below(3)];
            let length = [0x400, bytes.len(), bytes.len() - from][self.below(3)];
            let at = (from + self.below(length)).min(bytes.len() - 1);
            bytes[at] = match self.below(3) {
                0 => bytes[at] ^ (1 << self.below(8)),
                1 => [0, 1, 0x7f, 0x80, 0xff][self.below(5)],
                _ => self.below(256) as u8,
            };
        }
        if self.below(8) == 0 {
            bytes.truncate(self.below(bytes.len()).max(1));
        }
    }
}

#[test]
fn mutated_programs_do_not_keep_others_from_being_named() {
    let dir = tempfile::tempdir().unwrap();
    let sound = compile(dir.path(), "shape", &["-g"]);
    let program = fs::read(&sound).unwrap();
    let addresses: Vec<u64> = ["main", "burn", "sixty"].map(|name| address(&program, name)).into();
    let mut asking = Asking::new();
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for n in 0..300 {
        let mut mutated = program.clone();
        random.mutate(&mut mutated);
        let path = dir.path().join(format!("mutated-{n}"));
        fs::write(&path, &mutated).unwrap();
        assert_sound(&asking.file(&path, &[&addresses[..], &[0, u64::MAX]].concat()));
        fs::remove_file(&path).unwrap();
        if n % 20 == 0 {
            assert_eq!(asking.file(&sound, &addresses)[2], ["sixty"], "after {n}");
        }
    }
}

#[test]
fn a_name_of_a_megabyte_is_cut() {
    let dir = tempfile::tempdir().unwrap();
    let (source, program) = (dir.path().join("long.c"), dir.path().join("pw-long"));
    let name = "n".repeat(1 << 20);
    fs::write(
        &source,
        format!("void f(void) __asm__(\"{name}\");\nvoid f(void) {{}}\nint main(void) {{}}\n"),
    )
    .unwrap();
    assert!(Command::new("cc").arg("-o").arg(&program).arg(&source).status().unwrap().success());
    let bytes = fs::read(&program).unwrap();
    let mut asking = Asking::new();
    let names = asking.file(&program, &[address(&bytes, &name), address(&bytes, "main")]);
    assert_sound(&names);
    assert!(names[0][0].starts_with("nnnn") && names[0][0].ends_with('…'), "{:?}", names[0]);
    assert_eq!(names[1], ["main"]);
}

#[test]
fn a_file_that_is_truncated_while_it_is_read_ends_the_symbolizer_at_most() {
    let dir = tempfile::tempdir().unwrap();
    let sound = compile(dir.path(), "shape", &["-g"]);
    let program = fs::read(&sound).unwrap();
    let sixty = address(&program, "sixty");
    let changing = dir.path().join("changing");
    fs::write(&changing, &program).unwrap();
    let stop = AtomicBool::new(false);
    let mut asking = Asking::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let file = File::options().write(true).open(&changing).unwrap();
            while !stop.load(Ordering::Relaxed) {
                file.set_len(0).unwrap();
                file.write_all_at(&program, 0).unwrap();
            }
        });
        for _ in 0..100 {
            assert_sound(&asking.file(&changing, &[sixty]));
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert_eq!(asking.file(&sound, &[sixty]), [["sixty"]]);
}

#[test]
fn a_symbolizer_that_was_killed_is_started_again() {
    let dir = tempfile::tempdir().unwrap();
    let sound = compile(dir.path(), "shape", &["-g"]);
    let sixty = address(&fs::read(&sound).unwrap(), "sixty");
    // The first one is killed once it has been asked something.
    let script = format!(
        "#!/bin/sh\nif mkdir '{}' 2>/dev/null; then read line; kill -9 $$; fi\nexec '{}' \"$@\"\n",
        dir.path().join("killed").display(),
        env!("CARGO_BIN_EXE_perfwatch")
    );
    // Written by another process: a program that is open for writing, in whatever is being started beside, cannot run.
    let program = dir.path().join("symbolizer");
    let mut install = Command::new("install");
    install.args(["-m", "755", "/dev/stdin"]).arg(&program).stdin(Stdio::piped());
    let mut install = install.spawn().unwrap();
    install.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    assert!(install.wait().unwrap().success());
    let mut asking = Asking::of(program);
    assert_eq!(asking.file(&sound, &[sixty]), [["sixty"]]);
    assert!(dir.path().join("killed").exists());
    assert_eq!(asking.symbols.failures, 1);
}

/// A process whose code at an address is named by a file that it, or another, has written.
struct Mapped {
    running: Running,
    map: PathBuf,
    address: u64,
}

impl Mapped {
    fn start() -> Self {
        let running = Running(Command::new("sleep").arg("600").stdin(Stdio::null()).spawn().unwrap());
        let pid = running.0.id();
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
        // Memory of no file; there is some once it has begun.
        let address = loop {
            let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
            let anonymous = maps.lines().find(|line| line.split_whitespace().count() == 5);
            if let Some(line) = anonymous
                && maps.contains("sleep")
            {
                break u64::from_str_radix(line.split('-').next().unwrap(), 16).unwrap();
            }
            assert!(std::time::Instant::now() < deadline, "{maps}");
            std::thread::sleep(std::time::Duration::from_millis(10));
        };
        Self { running, map: format!("/tmp/perf-{pid}.map").into(), address }
    }

    fn names(&self, asking: &mut Asking) -> Vec<String> {
        let place =
            Place::Generated { by: Image { pid: self.running.0.id(), hash: 0 }, address: self.address };
        asking.symbols.learn([place].into_iter(), &HashMap::new());
        let names = asking.names(place);
        assert_sound(std::slice::from_ref(&names));
        names
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.map);
    }
}

#[test]
fn maps_of_just_in_time_compilers_may_say_anything() {
    let mut asking = Asking::new();
    let sound = |asking: &mut Asking| {
        let process = Mapped::start();
        fs::write(&process.map, format!("{:x} 10 spin\n", process.address)).unwrap();
        assert_eq!(process.names(asking), ["spin"]);
    };
    sound(&mut asking);
    // (what follows the address, the name)
    let cases: [(&[u8], Option<&str>); 7] = [
        (b"10 <script>alert(1)</script>\n", Some("<script>alert(1)</script>")),
        (b"10 a\x1b[31m\x07b\n", Some("a\u{fffd}[31m\u{fffd}b")),
        (b"ffffffffffffffff everything\n", None),
        (b"10 \xff\xfe\n", None),
        (b"10", None),
        (b"-1 negative\n", None),
        (b"fffffffffffffffffffffffffffffffff more\n", None),
    ];
    for (rest, expected) in cases {
        let process = Mapped::start();
        fs::write(&process.map, [format!("{:x} ", process.address).as_bytes(), rest].concat()).unwrap();
        let names = process.names(&mut asking);
        if let Some(expected) = expected {
            assert_eq!(names, [expected]);
        }
    }
    // A line of 16 MB.
    let process = Mapped::start();
    fs::write(&process.map, format!("{:x} 10 {}", process.address, "n".repeat(16 << 20))).unwrap();
    assert!(process.names(&mut asking)[0].ends_with('…'));
    let failures = asking.symbols.failures;
    // A terabyte of nothing.
    let process = Mapped::start();
    File::create(&process.map).unwrap().set_len(1 << 40).unwrap();
    assert_eq!(process.names(&mut asking), ["[unknown]"]);
    // A pipe that nobody writes to.
    let process = Mapped::start();
    assert!(Command::new("mkfifo").arg(&process.map).status().unwrap().success());
    assert_eq!(process.names(&mut asking), ["[unknown]"]);
    assert_eq!(asking.symbols.failures, failures, "they were waited for");
    sound(&mut asking);
}
