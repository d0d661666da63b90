//! What Linux knows of a process: CPU time and memory.

use std::fs;

use crate::Fallible;

/// The kernel shows CPU times in ticks of this many to the second, on every Linux that Rust runs on.
const TICKS_PER_SECOND: f64 = 100.0;

/// User and system time that the process has used, in seconds.
///
/// # Errors
/// When there is no such process or no `/proc`.
pub fn cpu_seconds(pid: u32) -> Fallible<f64> {
    let stat = Stat::of(pid)?;
    Ok((stat.user + stat.system) / TICKS_PER_SECOND)
}

/// The same of a process, its living children, and those of its children that have ended.
///
/// # Errors
/// When there is no such process or no `/proc`.
pub fn family_cpu_seconds(parent: u32) -> Fallible<f64> {
    let stat = Stat::of(parent)?;
    let mut ticks = stat.user + stat.system + stat.children;
    for entry in fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // It may have ended since.
        if let Ok(child) = Stat::of(pid)
            && child.parent == parent
        {
            ticks += child.user + child.system;
        }
    }
    Ok(ticks / TICKS_PER_SECOND)
}

/// The process that started it.
///
/// # Errors
/// When there is no such process or no `/proc`.
pub fn parent(pid: u32) -> Fallible<u32> {
    Ok(Stat::of(pid)?.parent)
}

/// What `/proc/PID/stat` says; times in ticks.
struct Stat {
    parent: u32,
    user: f64,
    system: f64,
    /// Of children that have ended and were waited for.
    children: f64,
}

impl Stat {
    fn of(pid: u32) -> Fallible<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // The name in parentheses may hold spaces; what follows it does not.
        let (_, fields) = stat.rsplit_once(") ").ok_or("no process state")?;
        let field = |number: usize| fields.split(' ').nth(number).unwrap_or_default();
        let ticks = |number: usize| field(number).parse::<f64>();
        Ok(Self { parent: field(1).parse()?, user: ticks(11)?, system: ticks(12)?, children: ticks(13)? + ticks(14)? })
    }
}

/// Resident memory of the process in KiB.
///
/// # Errors
/// When there is no such process or no `/proc`.
pub fn resident_kib(pid: u32) -> Fallible<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

/// Memory of the process in KiB, what it shares with others counted in part.
///
/// # Errors
/// When there is no such process or no `/proc`, or it may not be read.
pub fn proportional_kib(pid: u32) -> Fallible<f64> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).ok_or("no Pss")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_used_time_and_memory() {
        assert!(cpu_seconds(std::process::id()).unwrap() >= 0.0);
        assert!(resident_kib(std::process::id()).unwrap() > 100.0);
        assert!(proportional_kib(std::process::id()).unwrap() > 100.0);
        assert!(cpu_seconds(u32::MAX).is_err());
        let parent = parent(std::process::id()).unwrap();
        assert!(family_cpu_seconds(parent).unwrap() >= cpu_seconds(std::process::id()).unwrap());
    }
}
