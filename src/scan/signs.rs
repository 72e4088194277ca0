//! Signs of life of the processes that carry a recorded pid: whether they have a way to the lock,
//! whether they can run, how far their clock was stepped. Each is asked once a run.

use super::world::{LOOK_LIMIT, World};
use crate::evidence::{Candidate, Life, Reaches, RouteUnknown};
use crate::process::halted::Freezers;
use crate::process::routes::{self, Layer, Place, Routes};
use crate::process::witness::Witnesses;
use crate::sys::bounded;
use crate::sys::mounts::MountTable;
use crate::units::ClockReading;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How many processes with one pid are asked for their mounts and open files; the others count.
const MAX_ASKED: usize = 512;

type Device = (u32, u32);

#[derive(Default)]
pub(super) struct Signs {
    witnesses: Witnesses,
    freezers: Freezers,
    routes: HashMap<(u32, Device), Result<Routes, RouteUnknown>>,
}

impl Signs {
    pub(super) fn clock_step_ms(&mut self, candidate: &Candidate, world: &World, now: &ClockReading) -> Option<u64> {
        let (proc, sweep) = (world.proc.as_ref()?, world.sweep.as_ref()?);
        self.witnesses.step_ms(candidate, proc, sweep, now, LOOK_LIMIT)
    }

    /// Says of each living candidate whether it can run.
    pub(super) fn look_whether_they_run(&mut self, candidates: &mut [Candidate], world: &World) {
        let (Some(proc), Some(mounts)) = (&world.proc, &world.mounts) else { return };
        for candidate in candidates.iter_mut().filter(|candidate| candidate.life == Life::Alive).take(MAX_ASKED) {
            if let Ok(process) = proc.process(candidate.pid) {
                candidate.halted = self.freezers.halted(&process, candidate.state, mounts);
            }
        }
    }

    /// Says of each living candidate whether it has a way to the lock at this place.
    pub(super) fn look_for_routes(&mut self, candidates: &mut [Candidate], place: Option<&Place>, world: &World) {
        let told = |why| Reaches::CannotTell(why);
        let Some(place) = place else {
            candidates.iter_mut().for_each(|candidate| candidate.reaches = told(RouteUnknown::Place));
            return;
        };
        let living: Vec<u32> =
            candidates.iter().filter(|candidate| candidate.life != Life::Dead).map(|candidate| candidate.pid).collect();
        self.read_routes(&living, place.device, world);
        for candidate in candidates {
            candidate.reaches = match self.routes.get(&(candidate.pid, place.device)) {
                Some(Ok(routes)) => routes.lead_to(&place.path),
                Some(Err(why)) => told(*why),
                None => told(RouteUnknown::NotAsked),
            };
        }
    }

    fn read_routes(&mut self, pids: &[u32], device: Device, world: &World) {
        let (Some(proc), Some(mounts)) = (&world.proc, &world.mounts) else { return };
        let asked = pids.iter().copied().take(MAX_ASKED).filter(|pid| !self.routes.contains_key(&(*pid, device)));
        let asked: Vec<u32> = asked.collect();
        if asked.is_empty() {
            return;
        }
        bounded::at_risk();
        let (proc, mounts, todo) = (Arc::clone(proc), mounts.clone(), asked.clone());
        let read = bounded::run(LOOK_LIMIT, move || {
            let mut layers = Layers::new(&mounts);
            let read = |pid: u32| {
                let process = proc.process(pid).map_err(|_| RouteUnknown::Mounts)?;
                Routes::read(&process, device, |directory| layers.of(directory))
            };
            todo.into_iter().map(read).collect::<Vec<_>>()
        });
        let read = read.unwrap_or_else(|| vec![Err(RouteUnknown::TimedOut); asked.len()]);
        self.routes.extend(asked.into_iter().map(|pid| (pid, device)).zip(read));
    }
}

/// The layers of overlays, each looked for once: containers of one image share them.
struct Layers<'a> {
    mounts: &'a MountTable,
    known: HashMap<PathBuf, Option<Layer>>,
}

impl<'a> Layers<'a> {
    fn new(mounts: &'a MountTable) -> Self {
        Self { mounts, known: HashMap::new() }
    }

    fn of(&mut self, directory: &Path) -> Option<Layer> {
        let found = self.known.get(directory);
        if let Some(known) = found {
            return known.clone();
        }
        let layer = routes::layer(directory, self.mounts);
        self.known.insert(directory.to_owned(), layer.clone());
        layer
    }
}
