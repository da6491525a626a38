//! A disk with a page cache. What is not synced may be lost when the power
//! goes, in whole or in part; operations fail when told to.

use std::collections::BTreeMap;
use std::fs::TryLockError;
use std::io::{self, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Rng;
use super::executor::{self, Node};
use super::pages::{Inode, Loss};
use crate::disk::{Access, Facts, Found};

/// A disk, as one start of a process sees it: after a crash it is dead to that process.
#[derive(Clone)]
pub(crate) struct SimDisk {
    shared: Arc<Mutex<Shared>>,
    life: u64,
}

/// What goes wrong, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The process dies; the page cache survives.
    Kill,
    /// The power goes.
    PowerCut,
    /// The operation fails with EIO. A failed sync may have synced or not, and the kernel forgets about it.
    Eio,
    /// A sync fails, as with `Eio`.
    FailedSync,
    /// The disk is full, for so many operations that write.
    Full(u64),
    /// A write writes only a part.
    ShortWrite,
}

#[derive(Clone)]
struct Shared {
    node: Node,
    life: u64,
    rng: Rng,
    inodes: BTreeMap<u64, Inode>,
    next_inode: u64,
    /// The names as the running system sees them, and as they are on the platter.
    names: BTreeMap<PathBuf, Entry>,
    durable: BTreeMap<PathBuf, Entry>,
    /// Changes of names that were not synced yet: the folder, and what changed in it.
    unsynced: Vec<(PathBuf, Change)>,
    fault: Option<(u64, Fault)>,
    full: u64,
    operations: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Entry {
    Folder,
    File(u64),
}

#[derive(Debug, Clone)]
enum Change {
    Set(PathBuf, Entry),
    Unset(PathBuf),
    Rename(PathBuf, PathBuf, Entry),
}

/// What an operation does, for faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Look,
    Write,
    Name,
    Sync,
}

enum Proceed {
    Whole,
    /// Do a part of it, and say so.
    Short,
}

impl SimDisk {
    /// An empty disk of a node, with these folders.
    pub(crate) fn new(node: Node, rng: Rng, folders: &[&Path]) -> Self {
        let names: BTreeMap<_, _> = folders.iter().map(|folder| (folder.to_path_buf(), Entry::Folder)).collect();
        let shared = Shared {
            node,
            life: 0,
            rng,
            inodes: BTreeMap::new(),
            next_inode: 1,
            durable: names.clone(),
            names,
            unsynced: Vec::new(),
            fault: None,
            full: 0,
            operations: 0,
        };
        Self { shared: Arc::new(Mutex::new(shared)), life: 0 }
    }

    /// The same disk in another computer.
    pub(crate) fn copy(&self, node: Node) -> Self {
        let mut shared = self.lock().clone();
        shared.node = node;
        let life = shared.life;
        Self { shared: Arc::new(Mutex::new(shared)), life }
    }

    /// Makes the operation after so many others fail.
    pub(crate) fn fail_after(&self, operations: u64, fault: Fault) {
        self.lock().fault = Some((operations, fault));
    }

    /// Takes a coming fault back, and gives a full disk room.
    pub(crate) fn heal(&self) {
        let mut shared = self.lock();
        (shared.fault, shared.full) = (None, 0);
    }

    /// Operations since the beginning.
    pub(crate) fn operations(&self) -> u64 {
        self.lock().operations
    }

    /// Whether the process that uses this handle is dead.
    pub(crate) fn is_dead(&self) -> bool {
        self.lock().life != self.life
    }

    /// Ends the process that uses the disk, and with a power cut what was not synced.
    pub(crate) fn crash(&self, power_cut: bool) {
        self.lock().crash(power_cut);
    }

    /// The disk for the next start of the process.
    pub(crate) fn restarted(&self) -> Self {
        let life = self.lock().life;
        Self { shared: Arc::clone(&self.shared), life }
    }

    /// A point at which the process may die, though nothing happens on the disk.
    pub(crate) fn pass(&self, what: &str, name: &str) -> io::Result<()> {
        self.begin(Kind::Look, what, Path::new(name)).map(drop)
    }

    /// Changes the bytes of a file behind everybody's back.
    pub(crate) fn damage(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
        let mut shared = self.lock();
        let inode = shared.inode(path).unwrap();
        shared.inodes.get_mut(&inode).unwrap().damage(change);
    }

    /// All files, by name.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let shared = self.lock();
        shared.names.iter().filter(|(_, entry)| **entry != Entry::Folder).map(|(path, _)| path.clone()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins an operation: whether it is to be done, and how.
    fn begin(&self, kind: Kind, what: &str, path: &Path) -> io::Result<(MutexGuard<'_, Shared>, Proceed)> {
        let mut shared = self.lock();
        if shared.life != self.life {
            return Err(io::Error::other("the process is dead"));
        }
        shared.operations += 1;
        executor::note(|| format!("{what} {}", path.display()));
        if shared.full > 0 && matches!(kind, Kind::Write | Kind::Name) {
            shared.full -= 1;
            return Err(io::ErrorKind::StorageFull.into());
        }
        let due = match &mut shared.fault {
            Some((0, fault)) => Some(*fault),
            Some((left, _)) => {
                *left -= 1;
                None
            }
            None => None,
        };
        let Some(fault) = due else { return Ok((shared, Proceed::Whole)) };
        // A fault that does not fit this operation waits for one that it fits.
        let fits = match fault {
            Fault::Kill | Fault::PowerCut => true,
            Fault::Eio => kind != Kind::Look,
            Fault::FailedSync => kind == Kind::Sync,
            Fault::Full(_) => matches!(kind, Kind::Write | Kind::Name),
            Fault::ShortWrite => kind == Kind::Write,
        };
        if !fits {
            return Ok((shared, Proceed::Whole));
        }
        shared.fault = None;
        executor::note(|| format!("{fault:?}"));
        match fault {
            Fault::Kill | Fault::PowerCut => {
                shared.crash(fault == Fault::PowerCut);
                Err(io::Error::other("the process is dead"))
            }
            Fault::Eio | Fault::FailedSync if kind == Kind::Sync => Err(io::Error::from_raw_os_error(5)),
            Fault::Eio | Fault::FailedSync => Err(io::Error::from_raw_os_error(5)),
            Fault::Full(operations) => {
                shared.full = operations;
                // Some of it may have fitted.
                Ok((shared, Proceed::Short))
            }
            Fault::ShortWrite => Ok((shared, Proceed::Short)),
        }
    }

    pub(crate) fn open(&self, path: &Path, access: Access) -> io::Result<SimFile> {
        let exists = self.lock().names.contains_key(path);
        let changes = matches!(access, Access::New | Access::Empty) || (access == Access::ReadWrite && !exists);
        let kind = if changes { Kind::Name } else { Kind::Look };
        let (mut shared, _) = self.begin(kind, "open", path)?;
        let inode = match (shared.names.get(path).copied(), access) {
            (Some(Entry::Folder), _) => return Err(io::ErrorKind::IsADirectory.into()),
            (Some(_), Access::New) => return Err(io::ErrorKind::AlreadyExists.into()),
            (Some(Entry::File(inode)), _) => inode,
            (None, Access::Read | Access::Write) => return Err(io::ErrorKind::NotFound.into()),
            (None, _) => {
                shared.check_folder(path)?;
                let inode = shared.next_inode;
                shared.next_inode += 1;
                shared.inodes.insert(inode, Inode::default());
                shared.change(Change::Set(path.to_owned(), Entry::File(inode)));
                inode
            }
        };
        if access == Access::Empty {
            shared.inodes.get_mut(&inode).expect("named inodes exist").set_len(0);
        }
        drop(shared);
        Ok(SimFile { disk: self.clone(), path: path.to_owned(), inode, at: 0 })
    }

    pub(crate) fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let (shared, _) = self.begin(Kind::Look, "read", path)?;
        let inode = shared.inode(path)?;
        Ok(shared.inodes[&inode].bytes().to_vec())
    }

    pub(crate) fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (mut shared, _) = self.begin(Kind::Name, "rename", from)?;
        let inode = shared.inode(from)?;
        shared.check_folder(to)?;
        shared.change(Change::Rename(from.to_owned(), to.to_owned(), Entry::File(inode)));
        Ok(())
    }

    pub(crate) fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (mut shared, _) = self.begin(Kind::Name, "link", to)?;
        let inode = shared.inode(from)?;
        shared.check_folder(to)?;
        if shared.names.contains_key(to) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        shared.change(Change::Set(to.to_owned(), Entry::File(inode)));
        Ok(())
    }

    pub(crate) fn remove_file(&self, path: &Path) -> io::Result<()> {
        let (mut shared, _) = self.begin(Kind::Name, "remove", path)?;
        shared.inode(path)?;
        shared.change(Change::Unset(path.to_owned()));
        Ok(())
    }

    pub(crate) fn create_dir(&self, path: &Path) -> io::Result<()> {
        let (mut shared, _) = self.begin(Kind::Name, "mkdir", path)?;
        if shared.names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        shared.check_folder(path)?;
        shared.change(Change::Set(path.to_owned(), Entry::Folder));
        Ok(())
    }

    pub(crate) fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let (mut shared, _) = self.begin(Kind::Sync, "syncdir", path)?;
        shared.sync_dir(path);
        Ok(())
    }

    pub(crate) fn list(&self, path: &Path) -> io::Result<Vec<Found>> {
        let (shared, _) = self.begin(Kind::Look, "list", path)?;
        if shared.names.get(path) != Some(&Entry::Folder) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let below = shared.names.iter().filter(|(name, _)| name.parent() == Some(path));
        Ok(below.map(|(name, entry)| Found { path: name.clone(), is_dir: *entry == Entry::Folder }).collect())
    }

    pub(crate) fn is_dir(&self, path: &Path) -> bool {
        self.lock().names.get(path) == Some(&Entry::Folder)
    }

    pub(crate) fn exists(&self, path: &Path) -> bool {
        self.lock().names.contains_key(path)
    }

    pub(crate) fn facts(&self, path: &Path) -> io::Result<Facts> {
        let (shared, _) = self.begin(Kind::Look, "stat", path)?;
        let inode = &shared.inodes[&shared.inode(path)?];
        Ok(Facts { bytes: inode.bytes().len() as u64, modified_ns: inode.modified_ns })
    }
}

impl Shared {
    fn inode(&self, path: &Path) -> io::Result<u64> {
        match self.names.get(path) {
            Some(Entry::File(inode)) => Ok(*inode),
            Some(Entry::Folder) => Err(io::ErrorKind::IsADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn check_folder(&self, path: &Path) -> io::Result<()> {
        match path.parent().and_then(|parent| self.names.get(parent)) {
            Some(Entry::Folder) => Ok(()),
            Some(Entry::File(_)) => Err(io::ErrorKind::NotADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.names);
        self.unsynced.push((change.folder(), change));
    }

    fn sync_dir(&mut self, folder: &Path) {
        for (of, change) in std::mem::take(&mut self.unsynced) {
            if of == folder {
                change.apply(&mut self.durable);
            } else {
                self.unsynced.push((of, change));
            }
        }
    }

    fn crash(&mut self, power_cut: bool) {
        self.life += 1;
        self.fault = None;
        executor::kill(self.node);
        if !power_cut {
            return;
        }
        let loss = Loss::random(&mut self.rng);
        for (_, change) in std::mem::take(&mut self.unsynced) {
            if loss.keeps_name(&mut self.rng) {
                change.apply(&mut self.durable);
            }
        }
        // What lies in a folder that was lost is lost with it.
        let durable = std::mem::take(&mut self.durable);
        for (path, entry) in durable {
            let above = path.parent().and_then(|parent| self.durable.get(parent));
            if above == Some(&Entry::Folder) || !self.names.contains_key(path.parent().unwrap_or(Path::new(""))) {
                self.durable.insert(path, entry);
            }
        }
        self.names = self.durable.clone();
        for inode in self.inodes.values_mut() {
            inode.lose_power(loss, &mut self.rng);
        }
        let named: Vec<_> = self.names.values().copied().collect();
        self.inodes.retain(|inode, _| named.contains(&Entry::File(*inode)));
    }
}

impl Change {
    fn folder(&self) -> PathBuf {
        let (Self::Set(path, _) | Self::Unset(path) | Self::Rename(_, path, _)) = self;
        path.parent().unwrap_or(Path::new("")).to_owned()
    }

    fn apply(&self, names: &mut BTreeMap<PathBuf, Entry>) {
        match self {
            Self::Set(path, entry) => {
                names.insert(path.clone(), *entry);
            }
            Self::Unset(path) => {
                names.remove(path);
            }
            Self::Rename(from, to, entry) => {
                names.remove(from);
                names.insert(to.clone(), *entry);
            }
        }
    }
}

/// An open file of a simulated disk.
pub(crate) struct SimFile {
    disk: SimDisk,
    path: PathBuf,
    inode: u64,
    at: u64,
}

impl SimFile {
    pub(crate) fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let (shared, _) = self.disk.begin(Kind::Look, "read", &self.path)?;
        let bytes = shared.inodes.get(&self.inode).ok_or(io::ErrorKind::NotFound)?.bytes();
        let rest = usize::try_from(self.at).ok().and_then(|at| bytes.get(at..)).unwrap_or_default();
        let count = rest.len().min(out.len());
        out[..count].copy_from_slice(&rest[..count]);
        self.at += count as u64;
        Ok(count)
    }

    pub(crate) fn read_exact_at(&self, out: &mut [u8], at: u64) -> io::Result<()> {
        let (shared, _) = self.disk.begin(Kind::Look, "read", &self.path)?;
        let bytes = shared.inodes.get(&self.inode).ok_or(io::ErrorKind::NotFound)?.bytes();
        let at = usize::try_from(at).unwrap();
        out.copy_from_slice(bytes.get(at..at + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let (mut shared, proceed) = self.disk.begin(Kind::Write, "write", &self.path)?;
        let count = match proceed {
            Proceed::Whole => bytes.len(),
            Proceed::Short => shared.rng.index(bytes.len().max(1)).max(1).min(bytes.len()),
        };
        let inode = shared.inodes.get_mut(&self.inode).ok_or(io::ErrorKind::NotFound)?;
        inode.write(self.at, &bytes[..count]);
        inode.modified_ns = executor::now_ns();
        drop(shared);
        self.at += count as u64;
        Ok(count)
    }

    pub(crate) fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(by) => self.size()?.checked_add_signed(by),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }

    pub(crate) fn sync(&self) -> io::Result<()> {
        match self.disk.begin(Kind::Sync, "sync", &self.path) {
            Ok((mut shared, _)) => {
                shared.inodes.get_mut(&self.inode).ok_or(io::ErrorKind::NotFound)?.sync();
                Ok(())
            }
            Err(error) => {
                // What is on the platter now is anybody's guess, and no later sync repairs it. The names of
                // folders fare better: they are in the file system's journal.
                let mut shared = self.disk.lock();
                let shared = &mut *shared;
                if shared.life == self.disk.life
                    && let Some(inode) = shared.inodes.get_mut(&self.inode)
                {
                    inode.sync_badly(Loss::random(&mut shared.rng), &mut shared.rng);
                }
                Err(error)
            }
        }
    }

    pub(crate) fn set_len(&self, bytes: u64) -> io::Result<()> {
        let (mut shared, _) = self.disk.begin(Kind::Write, "set_len", &self.path)?;
        shared.inodes.get_mut(&self.inode).ok_or(io::ErrorKind::NotFound)?.set_len(usize::try_from(bytes).unwrap());
        Ok(())
    }

    pub(crate) fn size(&self) -> io::Result<u64> {
        let (shared, _) = self.disk.begin(Kind::Look, "stat", &self.path)?;
        Ok(shared.inodes.get(&self.inode).ok_or(io::ErrorKind::NotFound)?.bytes().len() as u64)
    }

    /// One process at a time runs on a node, so the lock is always free.
    pub(crate) fn try_lock(&self) -> Result<(), TryLockError> {
        Ok(())
    }
}
