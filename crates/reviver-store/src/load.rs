//! What a folder holds, read when the store is opened.
//!
//! Records are put together by their sequences, not by where they stand. A sealed segment is known by its index; one
//! without is read from its start until a record does not hold. When good ones follow behind that, something was lost
//! that may have taken objects away, so everything that is older is not found any more.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use memchr::memmem;

use crate::disk::{self, Name};
use crate::layout::{
    self, ENTRY, Entry, FOOTER, INDEX_HEADER, Index, IndexHeader, Kind, OWN_BODY, RECORD, Record, SEGMENT_HEADER,
    SegmentHeader,
};
use crate::segment::{Own, Segment};
use crate::table::{Elsewhere, Shard, Slot, Table};
use crate::{Key, ReadError};

pub struct Loaded {
    pub table: Table,
    pub order: BTreeMap<u64, Arc<Segment>>,
    /// The youngest segment, when it has room.
    pub active: Option<Arc<Segment>>,
    pub next_number: u64,
    pub next_id: u32,
    /// The highest that was given out.
    pub sequence: u64,
    pub bytes: u64,
    pub read_only: bool,
    /// What has a lower sequence cannot be trusted; the files do not say so yet.
    pub lost_before: Option<u64>,
    /// What people should know.
    pub news: Vec<String>,
}

struct Loader<'a> {
    folder: &'a Path,
    loaded: Loaded,
    indices: BTreeSet<u64>,
    removed: HashMap<Key, u64>,
    softened: HashMap<Key, (u64, Arc<Segment>)>,
    heads: Vec<(Elsewhere, u64, bool)>,
    /// Bodies whose record has a head that was merged: sequences of both.
    merged: HashMap<Key, (u64, u64)>,
    cleared: u64,
    foreign: u64,
    damaged: u64,
}

/// `segment`: how long one may get.
pub fn load(folder: &Path, segment: u64) -> io::Result<Loaded> {
    let mut loader = Loader {
        folder,
        loaded: Loaded {
            table: Table::new(Shard::default, 0),
            order: BTreeMap::new(),
            active: None,
            next_number: 0,
            next_id: 0,
            sequence: 0,
            bytes: 0,
            read_only: false,
            lost_before: None,
            news: Vec::new(),
        },
        indices: BTreeSet::new(),
        removed: HashMap::new(),
        softened: HashMap::new(),
        heads: Vec::new(),
        merged: HashMap::new(),
        cleared: 0,
        foreign: 0,
        damaged: 0,
    };
    let mut names = Vec::new();
    for file in std::fs::read_dir(folder)? {
        let file = file?;
        let Some(name) = file.file_name().to_str().and_then(Name::parse) else {
            continue;
        };
        loader.loaded.next_number = loader.loaded.next_number.max(name.number() + 1);
        if file.file_type()?.is_file() {
            names.push(name);
        }
    }
    names.sort_by_key(|name| (name.number(), *name));
    loader.indices.extend(names.iter().filter(|name| matches!(name, Name::Index(_))).map(|name| name.number()));
    for name in names {
        match name {
            Name::Segment(number) => loader.shared(number)?,
            Name::Object(number) => loader.own(number)?,
            Name::Index(_) => {}
        }
    }
    for number in std::mem::take(&mut loader.indices) {
        // its segment is not there
        disk::remove(&Name::Index(number).path(folder));
    }
    loader.settle();
    loader.resume(segment);
    Ok(loader.loaded)
}

impl Loader<'_> {
    /// And how long it is.
    fn open(&mut self, path: &Path) -> io::Result<(File, u64)> {
        let file = match OpenOptions::new().read(true).write(true).custom_flags(libc::O_NOFOLLOW).open(path) {
            Err(error) if disk::is_read_only(&error) => {
                self.loaded.read_only = true;
                File::open(path)?
            }
            opened => opened?,
        };
        let len = file.metadata()?.len();
        Ok((file, len))
    }

    fn add(&mut self, number: u64, alone: bool, file: File, nonce: u64, len: u64) -> Arc<Segment> {
        let segment = Arc::new(Segment::new(self.loaded.next_id, number, alone, file, nonce, len));
        self.loaded.next_id += 1;
        self.loaded.table.add_segment(&segment);
        self.loaded.order.insert(number, Arc::clone(&segment));
        segment
    }

    fn shared(&mut self, number: u64) -> io::Result<()> {
        let path = Name::Segment(number).path(self.folder);
        let (file, len) = match self.open(&path) {
            Ok(opened) => opened,
            Err(error) if disk::is_short(&error) => return Err(error),
            Err(_) => {
                self.lose(self.loaded.sequence + 1);
                return Ok(());
            }
        };
        let header = read_header(&file);
        if header == SegmentHeader::Foreign {
            self.foreign += 1;
            disk::remove(&path);
            return Ok(());
        }
        if self.indices.contains(&number) {
            if let Ok(Some((index, entries))) = read_entries(self.folder, number)
                && index.data_len <= len
                && [SegmentHeader::Shared { nonce: index.nonce }, SegmentHeader::Broken].contains(&header)
            {
                self.indices.remove(&number);
                let segment = self.add(number, false, file, index.nonce, len);
                let index_len = (INDEX_HEADER + entries.len() * ENTRY) as u64 + index.labels_len;
                segment.index_len.store(index_len, Ordering::Relaxed);
                entries.iter().for_each(|entry| self.apply(&segment, entry));
                return Ok(());
            }
            self.damaged += 1;
        }
        let SegmentHeader::Shared { nonce } = header else {
            if len >= SEGMENT_HEADER as u64 {
                self.lose(self.loaded.sequence + 1);
            }
            disk::remove(&path);
            return Ok(());
        };
        let mut bytes = Vec::new();
        if disk::read(&file, 0, &mut [], len as usize, &mut bytes, true).is_err() {
            self.lose(self.loaded.sequence + 1);
            disk::remove(&path);
            return Ok(());
        }
        let (index, end, lost_before) = scan(&bytes, nonce);
        if let Some(lost_before) = lost_before {
            self.lose(lost_before);
        }
        let cut = end < len && file.set_len(end).is_ok();
        let segment = self.add(number, false, file, nonce, if cut { end } else { len });
        index.entries.iter().for_each(|entry| self.apply(&segment, entry));
        segment
            .index_len
            .store((INDEX_HEADER + index.entries.len() * ENTRY + index.labels.len()) as u64, Ordering::Relaxed);
        segment.rest().index = Some(index);
        Ok(())
    }

    /// Something is gone that may have taken away what has a lower sequence.
    fn lose(&mut self, sequence: u64) {
        self.damaged += 1;
        self.cleared = self.cleared.max(sequence);
        self.loaded.lost_before = self.loaded.lost_before.max(Some(sequence));
    }

    fn own(&mut self, number: u64) -> io::Result<()> {
        let path = Name::Object(number).path(self.folder);
        let (file, len) = match self.open(&path) {
            Ok(opened) => opened,
            Err(error) if disk::is_short(&error) => return Err(error),
            Err(_) => {
                self.damaged += 1;
                return Ok(());
            }
        };
        let header = read_header(&file);
        let SegmentHeader::Own { nonce } = header else {
            self.foreign += u64::from(header == SegmentHeader::Foreign);
            disk::remove(&path);
            return Ok(());
        };
        match read_own(&file, len, nonce) {
            Some((record_at, record)) => {
                let segment = self.add(number, true, file, nonce, len);
                // cannot be set already: the segment is new
                let _ = segment.own.set(Own { key: record.key, record_at, body_len: record.body_len });
                self.apply(&segment, &Entry { offset: 0, record });
            }
            // it was being written, or is damaged
            None => {
                disk::remove(&path);
            }
        }
        Ok(())
    }

    fn apply(&mut self, segment: &Arc<Segment>, entry: &Entry) {
        let record = &entry.record;
        let (key, sequence) = (record.key, record.sequence);
        self.loaded.sequence = self.loaded.sequence.max(sequence).max(record.aux);
        if record.kind.is_note() {
            segment.rest().has_notes = true;
        }
        match record.kind {
            Kind::Put | Kind::Own => {
                let mut shard = self.loaded.table.shard(key);
                if shard.slot(key).is_none_or(|there| there.sequence() <= sequence) {
                    shard.insert(Slot::new(segment.id, entry));
                    if record.aux != 0 {
                        self.merged.insert(key, (sequence, record.aux));
                    }
                }
            }
            Kind::Head => {
                let head = Elsewhere {
                    key,
                    sequence,
                    segment: segment.id,
                    offset: entry.offset,
                    head_len: record.head_len,
                    label_len: record.label_len,
                };
                self.heads.push((head, record.aux, record.softened));
            }
            Kind::Remove => {
                let removed = self.removed.entry(key).or_default();
                *removed = sequence.max(*removed);
            }
            Kind::Soften => {
                if self.softened.get(&key).is_none_or(|(there, _)| *there <= sequence) {
                    self.softened.insert(key, (sequence, Arc::clone(segment)));
                }
            }
            Kind::Clear => self.cleared = self.cleared.max(sequence),
        }
    }

    /// Applies what takes away, and heads, to the bodies.
    fn settle(&mut self) {
        let table = &self.loaded.table;
        table.clear(self.cleared);
        self.loaded.sequence = self.loaded.sequence.max(self.cleared);
        for (key, sequence) in &self.removed {
            let mut shard = table.shard(*key);
            if shard.slot(*key).is_some_and(|slot| slot.sequence() < *sequence) {
                shard.take(*key);
            }
        }
        let merged = |key: Key, body: u64| match self.merged.get(&key) {
            Some((sequence, head)) if *sequence == body => *head,
            _ => 0,
        };
        self.heads.sort_by_key(|(head, _, _)| head.sequence);
        for (head, body, softened) in &self.heads {
            let mut shard = table.shard(head.key);
            let belongs = shard.slot(head.key).is_some_and(|slot| slot.sequence() == *body);
            if belongs && head.sequence > merged(head.key, *body) {
                shard.insert_head(*head, *softened);
            }
        }
        for (key, (sequence, segment)) in &self.softened {
            let mut shard = table.shard(*key);
            let Some(slot) = shard.slot(*key).copied() else {
                continue;
            };
            let head = shard.elsewhere(*key).map_or(0, |head| head.sequence);
            if *sequence > slot.sequence().max(merged(*key, slot.sequence())).max(head) {
                shard.soften(*key, *sequence);
                if shard.segment(slot.segment).is_some_and(|segment| segment.alone) {
                    segment.rest().softened.push(*key);
                }
            }
        }
        if self.foreign > 0 {
            let news = "what another version of Reviver has stored there is removed";
            self.loaded.news.push(news.to_owned());
        }
        if self.damaged > 0 {
            let news = format!("{} files are damaged; what cannot be trusted is forgotten", self.damaged);
            self.loaded.news.push(news);
        }
    }

    /// The youngest segment goes on, where that is worth it, so that restarts do not leave many short ones.
    fn resume(&mut self, most: u64) {
        let youngest = self.loaded.order.values().rev().find(|segment| !segment.alone).cloned();
        if let Some(segment) = youngest.filter(|_| !self.loaded.read_only)
            && segment.len.load(Ordering::Relaxed) < most / 2
        {
            let number = segment.number();
            let mut rest = segment.rest();
            if rest.index.is_none()
                && let Ok(Some(index)) = read_index(self.folder, &segment)
                && disk::remove(&Name::Index(number).path(self.folder))
            {
                rest.index = Some(index);
            }
            if rest.index.is_some() {
                self.loaded.order.remove(&number);
                self.loaded.active = Some(Arc::clone(&segment));
            }
        }
        let all = self.loaded.order.values().chain(&self.loaded.active);
        self.loaded.bytes = all.map(|segment| segment.bytes()).sum();
    }
}

fn read_header(file: &File) -> SegmentHeader {
    let mut header = [0; SEGMENT_HEADER];
    match disk::read(file, 0, &mut header, 0, &mut Vec::new(), true) {
        Ok(()) => SegmentHeader::decode(&header),
        Err(_) => SegmentHeader::Broken,
    }
}

/// Header and entries of an index, without its labels. None: damaged.
fn read_entries(folder: &Path, number: u64) -> Result<Option<(IndexHeader, Vec<Entry>)>, ReadError> {
    let file = File::open(Name::Index(number).path(folder))?;
    let mut bytes = Vec::new();
    disk::read(&file, 0, &mut [], INDEX_HEADER, &mut bytes, true)?;
    let Some(header) = IndexHeader::decode(&bytes) else {
        return Ok(None);
    };
    bytes.clear();
    let len = (header.count * ENTRY) as u64;
    if len + header.labels_len + INDEX_HEADER as u64 != file.metadata()?.len() {
        return Ok(None);
    }
    disk::read(&file, INDEX_HEADER as u64, &mut [], len as usize, &mut bytes, true)?;
    Ok(header.entries(&bytes).map(|entries| (header, entries)))
}

/// The index of a sealed segment with its labels. None: damaged.
pub fn read_index(folder: &Path, segment: &Segment) -> Result<Option<Index>, ReadError> {
    let number = segment.number();
    let Some((header, entries)) = read_entries(folder, number)?.filter(|(header, _)| header.nonce == segment.nonce)
    else {
        return Ok(None);
    };
    let file = File::open(Name::Index(number).path(folder))?;
    let (at, mut labels) = ((INDEX_HEADER + entries.len() * ENTRY) as u64, Vec::new());
    disk::read(&file, at, &mut [], header.labels_len as usize, &mut labels, true)?;
    Ok(header.holds(&labels).then_some(Index { entries, labels }))
}

/// The records of a segment; where the last one ends; and, when some were lost between others, the sequence before
/// which nothing can be trusted.
fn scan(bytes: &[u8], nonce: u64) -> (Index, u64, Option<u64>) {
    let (mut index, mut at, mut end, mut lost_before) = (Index::default(), SEGMENT_HEADER, SEGMENT_HEADER, None);
    let finder = memmem::Finder::new(&nonce.to_le_bytes()).into_owned();
    let (mut searching, fits) = (false, |record: &Record, at: usize| record.len() <= (bytes.len() - at) as u64);
    while at < bytes.len() {
        match Record::decode(&bytes[at..], nonce).filter(|(record, _)| record.kind != Kind::Own && fits(record, at)) {
            Some((record, clock)) => {
                if std::mem::take(&mut searching) {
                    lost_before = Some(clock);
                }
                let label = &bytes[at + RECORD..at + RECORD + usize::from(record.label_len)];
                index.push(Entry { offset: at as u32, record }, label);
                at += record.len() as usize;
                end = at;
            }
            None => {
                searching = true;
                match finder.find(&bytes[at + 1..]) {
                    Some(next) => at += 1 + next,
                    None => break,
                }
            }
        }
    }
    (index, end as u64, lost_before)
}

/// Where the record of a whole object stands, and that record.
fn read_own(file: &File, len: u64, nonce: u64) -> Option<(u64, Record)> {
    let mut footer = [0; FOOTER];
    let footer_at = len.checked_sub(FOOTER as u64)?;
    disk::read(file, footer_at, &mut footer, 0, &mut Vec::new(), true).ok()?;
    let record_at = layout::decode_footer(&footer, nonce)?;
    let mut meta = Vec::new();
    let meta_len = footer_at.checked_sub(record_at)?;
    disk::read(file, record_at, &mut [], meta_len as usize, &mut meta, true).ok()?;
    let (record, _) = Record::decode(&meta, nonce)?;
    let whole = record.kind == Kind::Own
        && record_at.checked_sub(OWN_BODY) == Some(record.body_len)
        && record.len() == meta_len;
    whole.then_some((record_at, record))
}
