//! What the figures were measured on.

use std::num::NonZero;
use std::thread::available_parallelism;

use serde::Serialize;

use super::figures::mib;
use super::stage::Stage;

#[derive(Debug, Serialize)]
pub(super) struct Machine {
    cores: usize,
    model: String,
    memory_bytes: u64,
    kernel: String,
    nats_server: String,
}

impl Machine {
    pub(super) fn of(stage: &Stage) -> Machine {
        let model = field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown".to_owned());
        let kernel = read("/proc/sys/kernel/osrelease");
        Machine {
            cores: available_parallelism().map_or(1, NonZero::get),
            model,
            memory_bytes: kilobytes("/proc/meminfo", "MemTotal"),
            kernel: kernel.trim().to_owned(),
            nats_server: stage.server_version(),
        }
    }

    /// One line for people.
    pub(super) fn shown(&self) -> String {
        let Machine { cores, model, memory_bytes, kernel, nats_server } = self;
        let memory = mib(*memory_bytes);
        format!("{cores} cores ({model}), {memory}, Linux {kernel}, nats-server {nats_server}")
    }
}

/// The most memory that a process ever held, in bytes.
pub(super) fn peak_memory(process: &str) -> u64 {
    kilobytes(&format!("/proc/{process}/status"), "VmHWM")
}

/// Lets this process's peak begin anew.
pub(super) fn forget_peak() {
    // Where that is not allowed the peak is that of all so far, which is still no less.
    std::fs::write("/proc/self/clear_refs", "5").ok();
}

fn kilobytes(path: &str, name: &str) -> u64 {
    let number = field(path, name).and_then(|text| text.split(' ').next()?.parse::<u64>().ok());
    number.unwrap_or_default() * 1024
}

fn field(path: &str, name: &str) -> Option<String> {
    let text = read(path);
    let fields = text.lines().filter_map(|line| line.split_once(':'));
    let mut values = fields.filter(|(known, _)| known.trim() == name).map(|(_, value)| value);
    values.next().map(|value| value.trim().to_owned())
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}
