//! What learning costs: whole commands and servers natively, under ours, and under what others have.
//!
//! ```text
//! cargo bench --bench learn [-- WORD...]     only the rows with one of these words in their names
//! ```
//!
//! Prints medians over alternating runs, as multiples of native; `SECCOMP_RUN_ROUNDS` says how many (5).
//! Machines are noisy: compare ratios of one run, not milliseconds of two.
//!
//! Nothing is printed that was not measured. Programs of Debian that are used where they are installed: strace,
//! bpftrace and linux-perf (both as root), gcc, git, nodejs, python3, redis-server, redis-tools, nginx-light, wrk.
//! Every program has a time limit, and all of them together have one.

#![expect(clippy::print_stdout, reason = "a bench prints")]
#![expect(clippy::disallowed_methods, reason = "it has a heap of its own")]

mod commands;
mod memory;
mod running;
mod servers;
mod table;
mod way;

use std::env;
use std::error::Error;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::table::Line;
use crate::way::{Scene, Way};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// What `SECCOMP_RUN_ROUNDS` says otherwise.
const ROUNDS: usize = 5;
/// No measurement is begun later.
const TOTAL: Duration = Duration::from_secs(45 * 60);
/// Of very many calls, the slow ways make one in so many.
const PART: u32 = 50;

const NOTES: &str = "
first run: --learn --force. second run: --learn --update after one run, with its profile and evidence.
filter only: --enforce of a profile that allows everything but swapoff. What the kernel takes for a filter is the least
that a learner with one can cost.
* strace -f --seccomp-bpf -e trace=execve: not the same job, it sees nothing but execve.
bpftrace counts the calls of the whole machine by number; its start is not in the time. perf trace -s loses events
that come fast. ~: a fiftieth of the calls, times fifty. Servers: requests per second once warm, share of native.
Memory: VmRSS of the launcher; not of those that take long with so many tasks, which are strace -f, bpftrace and perf.";

/// What is measured.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unit {
    /// From start to end, or from the first request to the last answer.
    Seconds,
    PerSecond,
    Bytes,
}

/// One line of the table.
struct Row {
    name: &'static str,
    /// The programs without which there is nothing to measure.
    needs: &'static [&'static str],
    unit: Unit,
    /// So many calls that the slow ways do a part.
    many: bool,
    /// In a directory of its own, once.
    prepare: fn(&Path) -> Outcome<()>,
    /// In the same directory, again and again.
    measure: fn(&Scene<'_>) -> Outcome<f64>,
}

static ROWS: [Row; 12] = {
    let [dd, getppid, find, git, threads, python, gcc, sh] = commands::ROWS;
    let [redis, nginx] = servers::RATES;
    [
        dd,
        getppid,
        find,
        git,
        threads,
        servers::NODE,
        python,
        gcc,
        sh,
        redis,
        nginx,
        memory::TASKS,
    ]
};

fn main() -> Outcome<()> {
    let words: Vec<String> = env::args().skip(1).collect();
    // `cargo test --benches` runs this too.
    if !words.iter().any(|word| word == "--bench") {
        return Ok(());
    }
    let words: Vec<String> = words.into_iter().filter(|w| !w.starts_with('-')).collect();
    let rounds = running::rounds(ROUNDS)?;
    let chosen = |row: &&Row| words.is_empty() || words.iter().any(|w| row.name.contains(&**w));
    let rows: Vec<&'static Row> = ROWS.iter().filter(chosen).collect();
    if rows.is_empty() {
        let names: Vec<&str> = ROWS.iter().map(|row| row.name).collect();
        return Err(format!("no such row; there are: {}", names.join("; ")).into());
    }
    let dir = tempfile::tempdir()?;
    running::end_on_interrupt(dir.path())?;
    let mut bench = Bench::new(dir.path(), rounds);

    println!("{}", table::head());
    let mut lines = Vec::new();
    for row in rows {
        if let Some(line) = bench.measure(row) {
            println!("{}", table::body(&line));
            lines.push(line);
        }
    }
    if let Some(means) = table::means(&lines) {
        println!("{means}");
    }
    println!("{NOTES}");
    for note in &bench.notes {
        println!("{note}");
    }
    println!("\n{}", setting(&words, rounds)?);
    Ok(())
}

/// The command, the machine.
fn setting(words: &[String], rounds: usize) -> Outcome<String> {
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let dashes = if words.is_empty() { "" } else { " -- " };
    Ok(format!(
        "SECCOMP_RUN_ROUNDS={rounds} cargo bench --bench learn{dashes}{}; Linux {}, {} CPUs",
        words.join(" "),
        kernel.trim(),
        thread::available_parallelism()?,
    ))
}

struct Bench<'a> {
    dir: &'a Path,
    rounds: usize,
    end: Instant,
    /// The ways that work here.
    ways: Vec<Way>,
    /// Why something was not measured.
    notes: Vec<String>,
}

impl<'a> Bench<'a> {
    fn new(dir: &'a Path, rounds: usize) -> Self {
        let mut notes = Vec::new();
        let works = |way: &Way| {
            let is_ours = matches!(way, Way::Native | Way::First | Way::Second | Way::Filter);
            let tried = if is_ours { Ok(()) } else { way.try_out(dir) };
            if let Err(why) = &tried {
                notes.push(format!("{}: does not work here: {why}", way.title()));
            }
            tried.is_ok()
        };
        Self {
            ways: Way::COLUMNS.into_iter().filter(works).collect(),
            dir,
            rounds,
            end: Instant::now() + TOTAL,
            notes,
        }
    }

    /// `None`: there is nothing to tell but why.
    fn measure(&mut self, row: &'static Row) -> Option<Line> {
        let missing = row
            .needs
            .iter()
            .find(|program| !running::installed(program));
        if let Some(program) = missing {
            self.note(row, &format!("{program} is not installed"));
            return None;
        }
        if Instant::now() > self.end {
            self.note(row, "out of time");
            return None;
        }
        let dir = self.dir.join("row");
        let prepared = fs::create_dir(&dir).map_err(Into::into);
        let prepared = prepared.and_then(|()| (row.prepare)(&dir));
        let line = match prepared {
            Ok(()) => self.alternate(row, &dir),
            Err(why) => {
                self.note(row, &why.to_string());
                None
            }
        };
        if let Err(why) = fs::remove_dir_all(&dir) {
            self.note(row, &format!("{}: {why}", dir.display()));
        }
        line
    }

    /// All ways in turn, round after round. A way that fails is left out from then on.
    fn alternate(&mut self, row: &'static Row, dir: &Path) -> Option<Line> {
        let mut ways = self.ways.clone();
        if row.unit == Unit::Bytes {
            ways.retain(|way| way.has_many_tasks());
        }
        if let Err(why) = measure(row, Way::Teach, dir) {
            self.note(row, &format!("{}: {why}", Way::Teach.title()));
            ways.retain(|&way| way != Way::Second);
        }
        let mut values = Way::COLUMNS.map(|way| (way, Vec::new()));
        'rounds: for round in 0..self.rounds {
            for (way, values) in &mut values {
                if !ways.contains(way) {
                    continue;
                }
                if Instant::now() > self.end {
                    self.note(row, &format!("out of time after {round} rounds"));
                    break 'rounds;
                }
                match measure(row, *way, dir) {
                    Ok(value) => values.push(value),
                    Err(why) => {
                        self.note(row, &format!("{}: {why}", way.title()));
                        if *way == Way::Native {
                            return None;
                        }
                        values.clear();
                        ways.retain(|other| other != way);
                    }
                }
            }
        }
        let medians = values.map(|(_, values)| median(values));
        let line = Line { row, medians };
        line.medians.iter().any(Option::is_some).then_some(line)
    }

    fn note(&mut self, row: &Row, why: &str) {
        self.notes.push(format!("{}: {why}", row.name));
    }
}

fn measure(row: &Row, way: Way, dir: &Path) -> Outcome<f64> {
    let part = if row.many && way.is_slow() { PART } else { 1 };
    let value = (row.measure)(&Scene { dir, way, part })?;
    Ok(value * f64::from(part))
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}
