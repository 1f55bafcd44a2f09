//! The generated parts of `docs/performance.md`. Each is written by itself, and only by a run that measured all of it.

use super::Summary;
use super::page::Marks;
use crate::workload::Workload;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// The workloads of one node.
    OneNode,
    /// Those of two nodes that share topics.
    Shared,
}

impl Part {
    pub(crate) const ALL: [Self; 2] = [Self::OneNode, Self::Shared];

    pub(crate) fn has(self, workload: &Workload) -> bool {
        (self == Self::Shared) == workload.is_shared()
    }

    pub(super) fn marks(self) -> Marks {
        match self {
            Self::OneNode => ("<!-- bench:begin -->", "<!-- bench:end -->"),
            Self::Shared => ("<!-- bench-shared:begin -->", "<!-- bench-shared:end -->"),
        }
    }

    /// The file of its figures.
    pub(super) fn figures(self) -> &'static str {
        match self {
            Self::OneNode => "figures.json",
            Self::Shared => "figures-shared.json",
        }
    }
}

impl Summary<'_> {
    /// What of it belongs to a part.
    pub(super) fn part(&self, part: Part) -> Self {
        let tables = self.tables.iter().filter(|table| part.has(table.workload));
        let tables: Vec<_> = tables.cloned().collect();
        let took_part = |name: &str| {
            let mut rows = tables.iter().flat_map(|table| &table.rows);
            rows.any(|row| row.server == name) || (part == Part::Shared && name == REDIS)
        };
        let servers = self.servers.iter().filter(|server| took_part(server.name));
        let faults = self.faults.iter().filter(|fault| {
            let workload = crate::workload::find(fault.workload);
            workload.is_some_and(|workload| part.has(workload))
        });
        Self {
            servers: servers.cloned().collect(),
            faults: faults.cloned().collect(),
            tables,
            ..self.clone()
        }
    }
}

/// The name under which the Redis server of the shared workloads is listed.
pub(crate) const REDIS: &str = "redis";

#[cfg(test)]
mod tests {
    use super::super::tests::report;
    use super::*;
    use crate::workload;

    #[test]
    fn each_workload_belongs_to_one_part() {
        for workload in workload::all() {
            let parts = Part::ALL.iter().filter(|part| part.has(workload));
            assert_eq!(parts.count(), 1, "{}", workload.name);
        }
    }

    #[test]
    fn a_part_has_its_own_tables_and_servers() {
        let report = report();
        let summary = report.summary();
        assert_eq!(summary.part(Part::OneNode).tables.len(), 1);
        assert!(summary.part(Part::Shared).tables.is_empty());
    }
}
