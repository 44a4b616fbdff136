//! Collector `network`, document `network`: `/proc/net/dev`, `/sys/class/net`, and TCP and UDP sockets from
//! sockstat, snmp and sock_diag.

mod derive;
mod links;
mod outside;
mod raw;
mod sock_diag;
mod sockets;

use std::mem;
use std::time::Instant;

use self::derive::derive;
use self::links::Links;
use self::outside::Outside;
use self::raw::Raw;
use self::sockets::Sockets;
use super::has_own_procfs;
use crate::collectors::rates::Rates;
use crate::config::Roots;
use crate::kernel_files::counter::Width;
use crate::kernel_files::file::KernelFile;
use crate::snapshot::source::{Method, Report, Source, SourceError, Tick};
use crate::snapshot::{MetricType, Reading};

pub(super) const NAME: &str = "network";

pub(super) struct Network {
    width: Width,
    dev: KernelFile,
    links: Links,
    outside: Outside,
    sockets: Sockets,
    raw: Raw,
    previous: Option<(Raw, Instant)>,
}

impl Network {
    pub(super) fn new(roots: &Roots) -> Self {
        // Network namespaces are per process: the host's interfaces are those of its init.
        let net = roots.proc(if has_own_procfs(roots) { "net" } else { "1/net" });
        Self {
            width: Width::of_kernel(&roots.procfs),
            dev: KernelFile::new(net.join("dev")),
            links: Links::new(roots),
            outside: Outside::new(roots),
            sockets: Sockets::new(roots, &net),
            raw: Raw::default(),
            previous: None,
        }
    }
}

impl Source for Network {
    fn name(&self) -> &'static str {
        NAME
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Network
    }

    fn sample(&mut self, tick: &Tick) -> Result<Reading, SourceError> {
        let now = Instant::now();
        let previous_raw = self.previous.as_ref().map(|(raw, _)| raw);
        self.raw.parse(self.dev.read()?, previous_raw).ok_or_else(|| {
            SourceError::Malformed(format!("{}: not a table of interfaces", self.dev.path().display()))
        })?;
        self.raw.sockets = self.sockets.read(now);
        let links = self.links.read(&self.raw, now);
        let previous = self
            .previous
            .as_ref()
            .map(|(raw, at)| (raw, Rates { width: self.width, elapsed: now.saturating_duration_since(*at) }));
        let body = derive(previous, &self.raw, links, self.outside.of(&self.raw));
        let document = Reading::new(MetricType::Network, tick.at, &body)?;
        // Reuse the older sample's memory for the next one.
        let reused = self.previous.take().map(|(raw, _)| raw).unwrap_or_default();
        self.previous = Some((mem::replace(&mut self.raw, reused), now));
        Ok(document)
    }

    fn report(&self) -> Report {
        Report { reason: self.sockets.reason(), ..Report::active(NAME, MetricType::Network, Method::Procfs) }
    }
}
