//! When a process is ready for the late filter.
//!
//! A filter can only be tightened, and it is inherited: what is unknown when it goes in costs a notification each
//! time (some 5 us), in this process and all its descendants, for good. Until it goes in, every call costs two stops
//! (20 to 150 us). So it should go in as soon as what is yet to come is rare. What the measurements behind the
//! numbers below say:
//!
//! * Most programs show within a hundred calls what they do often: after that, what is new is seldom frequent, even
//!   when much that is new is to come.
//! * Those that wait for others (servers, event loops) start up first, which says nothing about their work. They
//!   are waited for until they have served; while they wait they make no calls, so that costs nothing.
//! * Those that start other programs (shells, build tools) make few calls themselves, and hand their filter down. They
//!   are waited for until several programs in a row have shown nothing new, or for ever.
//! * A program that has been seen to its filter or to its end, in this run or an earlier one, needs no warm-up.

use std::collections::HashMap;

/// When to inject.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Pace {
    /// When a process is ready.
    #[default]
    Auto,
    /// At the first call. For tests.
    Early,
    /// After many calls. For tests.
    Late,
    /// Never: two stops a call.
    Never,
}

/// So many calls without anything new make a plain program ready.
const QUIET: u64 = 90;
/// So many make one ready that waits for others.
const QUIET_PATIENT: u64 = 300;
/// So many calls after the first connection show what a server does.
const SERVED: u64 = 300;
/// A program that has started so many others is one that goes on doing so.
const STARTS: u64 = 16;
/// So many programs in a row that have shown nothing new make it ready.
const QUIET_STARTS: u64 = 8;
/// So many calls of earlier runs mean that a program is known.
pub(crate) const COVERED: u64 = 30;
/// The number of calls for [`Pace::Late`].
const LATE: u64 = 1000;

/// A program on disk: device and inode.
pub(crate) type File = (u64, u64);

/// A program as it runs: in a process since its exec, and in those that it forked since.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Image {
    file: Option<File>,
    /// Calls that were seen, and how many of them since the last that was new.
    calls: u64,
    quiet: u64,
    /// It was known when it began.
    known: bool,
    /// Other programs that it has started, by fork and exec.
    starts: u64,
    /// It waits for others: for connections, or for events.
    patient: bool,
    /// It listens for connections.
    serves: bool,
    /// Calls since its first connection came.
    served: u64,
    /// Processes that run it and are traced.
    processes: u64,
}

/// What was learned about programs.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Experience {
    /// It has started others.
    starts: bool,
}

/// All programs of one command.
#[derive(Debug)]
pub(crate) struct Images {
    pace: Pace,
    images: HashMap<u64, Image>,
    last: u64,
    known: HashMap<File, Experience>,
    /// Programs that were started since the last call that was new.
    quiet_starts: u64,
}

/// What a call says about the program that makes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sign {
    Listens,
    Accepts,
    Waits,
    Nothing,
}

impl Sign {
    fn of(name: &str, first: u64) -> Self {
        // The domain of a socket: AF_INET and AF_INET6.
        const INTERNET: [u64; 2] = [2, 10];
        match name {
            "listen" => Self::Listens,
            "accept" | "accept4" => Self::Accepts,
            "socket" if INTERNET.contains(&(first & 0xffff_ffff)) => Self::Waits,
            "epoll_create" | "epoll_create1" | "inotify_init" | "inotify_init1"
            | "io_uring_setup" => Self::Waits,
            _ => Self::Nothing,
        }
    }
}

impl Images {
    pub(crate) fn new(pace: Pace) -> Self {
        // Number 0 is the launcher's child before its exec.
        let images = HashMap::from([(
            0,
            Image {
                processes: 1,
                ..Image::default()
            },
        )]);
        Self {
            pace,
            images,
            last: 0,
            known: HashMap::new(),
            quiet_starts: 0,
        }
    }

    /// A process that ran `before` has executed a file. Returns the number of what it runs now. `covered`: earlier
    /// runs have learned the file.
    pub(crate) fn executed(&mut self, before: u64, file: Option<File>, covered: bool) -> u64 {
        if let Some(image) = self.images.get_mut(&before)
            && image.processes > 1
        {
            // Somebody else runs it still: it has forked, and its child is what executes.
            image.starts += 1;
            if let Some(file) = image.file {
                self.known
                    .entry(file)
                    .and_modify(|known| known.starts = true);
            }
        }
        self.left(before);
        self.last += 1;
        self.quiet_starts += 1;
        let experience = file.and_then(|file| self.known.get(&file));
        let image = Image {
            file,
            // What starts others hands its filter down: it is not ready because it is known.
            known: covered || experience.is_some_and(|known| !known.starts),
            processes: 1,
            ..Image::default()
        };
        self.images.insert(self.last, image);
        self.last
    }

    /// A process that runs it was forked.
    pub(crate) fn forked(&mut self, image: u64) {
        if let Some(image) = self.images.get_mut(&image) {
            image.processes += 1;
        }
    }

    /// A process that ran it has ended, is not traced any more, or runs something else.
    pub(crate) fn left(&mut self, number: u64) {
        let Some(image) = self.images.get_mut(&number) else {
            return;
        };
        image.processes = image.processes.saturating_sub(1);
        let image = *image;
        if image.processes > 0 {
            return;
        }
        self.images.remove(&number);
        if let Some(file) = image.file {
            let experience = self.known.entry(file).or_default();
            experience.starts |= image.starts > 0;
        }
    }

    /// A process that runs it makes a call. `new`: nobody has made it before.
    pub(crate) fn calls(&mut self, image: u64, name: Option<&str>, first: u64, new: bool) {
        if new {
            self.quiet_starts = 0;
        }
        let Some(image) = self.images.get_mut(&image) else {
            return;
        };
        image.calls += 1;
        image.quiet = if new { 0 } else { image.quiet + 1 };
        image.served += u64::from(image.served > 0);
        match name.map_or(Sign::Nothing, |name| Sign::of(name, first)) {
            Sign::Listens => image.serves = true,
            Sign::Accepts => image.served = image.served.max(1),
            Sign::Waits => image.patient = true,
            Sign::Nothing => {}
        }
    }

    /// Is a process that runs it ready?
    pub(crate) fn is_ready(&self, image: u64) -> bool {
        let Some(image) = self.images.get(&image) else {
            return false;
        };
        match self.pace {
            Pace::Never => false,
            Pace::Early => true,
            Pace::Late => image.calls >= LATE,
            Pace::Auto => self.is_ripe(image),
        }
    }

    fn is_ripe(&self, image: &Image) -> bool {
        if image.starts > 0 {
            return image.starts >= STARTS && self.quiet_starts >= QUIET_STARTS;
        }
        if image.known {
            return true;
        }
        if image.serves {
            return image.served >= SERVED && image.quiet >= QUIET;
        }
        image.quiet >= if image.patient { QUIET_PATIENT } else { QUIET }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: Option<File> = Some((1, 7));

    fn make(images: &mut Images, image: u64, calls: &[(&str, u64, u64)]) {
        for &(name, first, count) in calls {
            for at in 0..count {
                images.calls(image, Some(name), first, at == 0);
            }
        }
    }

    #[test]
    fn a_plain_program_is_ready_when_it_was_quiet_for_a_while() {
        let mut images = Images::new(Pace::Auto);
        let image = images.executed(0, FILE, false);
        make(&mut images, image, &[("openat", 0, QUIET)]);
        assert!(!images.is_ready(image));
        make(&mut images, image, &[("read", 0, QUIET + 1)]);
        assert!(images.is_ready(image));
    }

    #[test]
    fn one_that_waits_for_others_is_given_more_time() {
        let mut images = Images::new(Pace::Auto);
        let image = images.executed(0, FILE, false);
        make(
            &mut images,
            image,
            &[("socket", 2, 1), ("read", 0, QUIET + 1)],
        );
        assert!(!images.is_ready(image));
        make(&mut images, image, &[("write", 0, QUIET_PATIENT + 1)]);
        assert!(images.is_ready(image));
    }

    #[test]
    fn a_server_is_ready_when_it_has_served() {
        let mut images = Images::new(Pace::Auto);
        let image = images.executed(0, FILE, false);
        make(&mut images, image, &[("listen", 3, 1), ("read", 0, 10_000)]);
        assert!(!images.is_ready(image));
        make(
            &mut images,
            image,
            &[("accept4", 3, 1), ("write", 0, SERVED)],
        );
        assert!(images.is_ready(image));
    }

    #[test]
    fn what_has_been_seen_needs_no_warm_up() {
        let mut images = Images::new(Pace::Auto);
        let first = images.executed(0, FILE, false);
        assert!(!images.is_ready(first));
        images.left(first);
        let second = images.executed(99, FILE, false);
        assert!(images.is_ready(second));
        let covered = images.executed(99, Some((1, 8)), true);
        assert!(images.is_ready(covered));
    }

    #[test]
    fn what_starts_others_waits_until_they_show_nothing_new() {
        let mut images = Images::new(Pace::Auto);
        let shell = images.executed(0, FILE, false);
        make(&mut images, shell, &[("read", 0, 1000)]);
        for start in 0..STARTS {
            images.forked(shell);
            let child = images.executed(shell, Some((1, 9)), false);
            make(&mut images, child, &[("brk", 0, 1)]);
            // The first of them shows something new.
            images.calls(child, Some("mmap"), 0, start == 0);
            images.left(child);
            assert_eq!(images.is_ready(shell), false, "{start}");
            if start + 1 < STARTS - QUIET_STARTS {
                images.calls(child, None, 0, true);
            }
        }
        for _ in 0..QUIET_STARTS {
            images.forked(shell);
            let child = images.executed(shell, Some((1, 9)), false);
            images.left(child);
        }
        assert!(images.is_ready(shell));
        // The next shell is known, and starts others.
        images.left(shell);
        let another = images.executed(99, FILE, false);
        assert!(!images.is_ready(another));
    }

    #[test]
    fn paces_for_tests_look_at_nothing_else() {
        for (pace, calls, want) in [
            (Pace::Early, 0, true),
            (Pace::Late, LATE - 1, false),
            (Pace::Late, LATE, true),
            (Pace::Never, 100_000, false),
        ] {
            let mut images = Images::new(pace);
            let image = images.executed(0, None, true);
            make(&mut images, image, &[("listen", 0, calls)]);
            assert_eq!(images.is_ready(image), want, "{pace:?} after {calls}");
        }
    }
}
