//! What the launcher holds while many tasks are alive.

use std::fs;
use std::thread;
use std::time::Duration;

use crate::commands::compile_load;
use crate::way::Scene;
use crate::{Outcome, Row, Unit};

pub(crate) const TASKS: Row = Row {
    name: "memory with 10 000 tasks",
    needs: &["gcc"],
    unit: Unit::Bytes,
    many: false,
    prepare: compile_load,
    measure: tasks,
};

fn tasks(scene: &Scene<'_>) -> Outcome<f64> {
    let mut launched = scene.launch(&["./load", "tasks", "10000"], true)?;
    while launched.command.line()? != "ready" {}
    // The tasks are there; what a launcher is still told about them may not have been read.
    thread::sleep(Duration::from_secs(1));
    let bytes = resident(launched.launcher())?;
    launched.command.hang_up();
    launched.end()?;
    Ok(bytes)
}

/// The resident memory of a process.
fn resident(pid: u32) -> Outcome<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let field = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = field.and_then(|value| value.trim().strip_suffix("kB"));
    let kib: f64 = kib.ok_or("no VmRSS")?.trim().parse()?;
    Ok(kib * 1024.0)
}
