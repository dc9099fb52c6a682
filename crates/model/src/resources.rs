//! What an action needs and what a site has.

/// Amounts of capacity: what a node asks for (`needs`), what a site has, what a reservation holds.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    serde::Deserialize,
    minicbor::Encode,
    minicbor::Decode,
)]
pub struct Resources {
    /// Thousandths of a core.
    #[n(0)]
    #[serde(default)]
    pub cpu_millis: u32,
    /// Bytes of memory.
    #[n(1)]
    #[serde(default)]
    pub memory_bytes: u64,
    /// Whole accelerators.
    #[n(2)]
    #[serde(default)]
    pub gpus: u32,
    /// Bytes of scratch disk.
    #[n(3)]
    #[serde(default)]
    pub disk_bytes: u64,
}

impl Resources {
    /// Whether all of `other` fits into this.
    pub fn covers(&self, other: &Resources) -> bool {
        self.cpu_millis >= other.cpu_millis
            && self.memory_bytes >= other.memory_bytes
            && self.gpus >= other.gpus
            && self.disk_bytes >= other.disk_bytes
    }

    /// This and `other` together.
    pub fn plus(&self, other: &Resources) -> Resources {
        Resources {
            cpu_millis: self.cpu_millis.saturating_add(other.cpu_millis),
            memory_bytes: self.memory_bytes.saturating_add(other.memory_bytes),
            gpus: self.gpus.saturating_add(other.gpus),
            disk_bytes: self.disk_bytes.saturating_add(other.disk_bytes),
        }
    }

    /// What is left of this without `other`, never below nothing.
    pub fn minus(&self, other: &Resources) -> Resources {
        Resources {
            cpu_millis: self.cpu_millis.saturating_sub(other.cpu_millis),
            memory_bytes: self.memory_bytes.saturating_sub(other.memory_bytes),
            gpus: self.gpus.saturating_sub(other.gpus),
            disk_bytes: self.disk_bytes.saturating_sub(other.disk_bytes),
        }
    }
}

/// Reads an amount of bytes as people write it: `512Mi`, `8Gi`, `1.5G`, `100k`, or a plain number.
pub fn parse_bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let split = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let number: f64 = text[..split].parse().ok()?;
    let factor = match &text[split..] {
        "" | "B" => 1.0,
        "k" | "K" | "kB" => 1e3,
        "M" | "MB" => 1e6,
        "G" | "GB" => 1e9,
        "T" | "TB" => 1e12,
        "Ki" | "KiB" => 1024.0,
        "Mi" | "MiB" => 1_048_576.0,
        "Gi" | "GiB" => 1_073_741_824.0,
        "Ti" | "TiB" => 1_099_511_627_776.0,
        _ => return None,
    };
    let bytes = number * factor;
    (bytes.is_finite() && (0.0..=9.0e18).contains(&bytes)).then_some(bytes as u64)
}

/// Reads an amount of processor as people write it: `2`, `0.5` (cores) or `500m` (thousandths).
pub fn parse_cpu(text: &str) -> Option<u32> {
    let text = text.trim();
    if let Some(millis) = text.strip_suffix('m') {
        return millis.parse().ok();
    }
    let cores: f64 = text.parse().ok()?;
    (cores.is_finite() && (0.0..=100_000.0).contains(&cores)).then_some((cores * 1000.0).round() as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_as_people_write_them() {
        assert_eq!(parse_bytes("8Gi"), Some(8 << 30));
        assert_eq!(parse_bytes("1.5k"), Some(1500));
        assert_eq!(parse_bytes("12"), Some(12));
        assert_eq!(parse_bytes("12Q"), None);
        assert_eq!(parse_bytes(""), None);
        assert_eq!(parse_cpu("500m"), Some(500));
        assert_eq!(parse_cpu("1.5"), Some(1500));
        assert_eq!(parse_cpu("-1"), None);
    }

    #[test]
    fn what_was_taken_comes_back() {
        let all = Resources { cpu_millis: 4000, memory_bytes: 8 << 30, gpus: 1, disk_bytes: 0 };
        let part = Resources { cpu_millis: 1500, memory_bytes: 1 << 30, gpus: 1, disk_bytes: 0 };
        assert!(all.covers(&part) && !part.covers(&all));
        assert_eq!(all.minus(&part).plus(&part), all);
    }
}
