//! Objects with a file for themselves: what is too large to stand among others, and what is written while it arrives.

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::BLOCK;
use crate::disk;
use crate::incoming::Stream;
use crate::layout::{self, Entry, Kind, OWN_BODY, Record};
use crate::segment::{Own, Segment};
use crate::table::{Published, Slot};
use crate::writer::{Content, Then, Writer};

impl Writer {
    /// Makes an object of a body that has a file for itself. False: there is no room for it.
    pub fn write_own(&mut self, record: Record, content: &Content) -> io::Result<bool> {
        if !self.room(OWN_BODY + record.body_len + record.len())? {
            return Ok(false);
        }
        let segment = self.create(true)?;
        let mut parts: Vec<IoSlice<'_>> = content.body.iter().map(|piece| IoSlice::new(piece)).collect();
        let written = self.write(&segment.file, OWN_BODY, &mut parts).and_then(|()| {
            self.extend(&segment, OWN_BODY + record.body_len);
            self.close_own(&segment, record, content)
        });
        if written.is_err() {
            self.unlink(segment);
        }
        written.map(|()| true)
    }

    fn extend(&self, segment: &Segment, len: u64) {
        self.grow(len - segment.len.swap(len, Ordering::Relaxed));
    }

    /// Writes what makes a body an object, behind it.
    fn close_own(&mut self, segment: &Arc<Segment>, record: Record, content: &Content) -> io::Result<()> {
        let record_at = OWN_BODY + record.body_len;
        let mut meta = Vec::new();
        record.encode(segment.nonce, self.core.queue.sequence(), &content.label, &content.head, &mut meta);
        match &content.sums {
            Some(sums) => meta.extend_from_slice(sums),
            None => layout::sums(record.sequence, content.body.iter().map(|piece| &**piece), &mut meta),
        }
        meta.extend_from_slice(&layout::encode_footer(segment.nonce, record_at));
        self.write(&segment.file, record_at, &mut [IoSlice::new(&meta)])?;
        self.extend(segment, record_at + meta.len() as u64);
        // what was put before is to be visible before
        self.flush()?;
        // cannot be set already: the segment is new
        let _ = segment.own.set(Own { key: record.key, record_at, body_len: record.body_len });
        match self.core.table.publish(Slot::new(segment.id, &Entry { offset: 0, record })) {
            Published::No => {
                self.unlink(Arc::clone(segment));
            }
            Published::Yes(replaced) => {
                self.order.insert(segment.number(), Arc::clone(segment));
                if replaced {
                    // should this file be damaged, the one before must not come back
                    self.note(Record::note(Kind::Remove, record.key, record.sequence));
                }
            }
        }
        Ok(())
    }

    pub fn write_stream(&mut self, stream: &Arc<Stream>) {
        if stream.has_failed() {
            return;
        }
        let (at, blocks) = stream.take_waiting();
        if blocks.is_empty() {
            return;
        }
        let bytes = blocks.iter().map(|block| block.len() as u64).sum();
        match self.write_blocks(stream, at, &blocks, bytes) {
            Ok(Some(sums)) => return self.core.queue.release(stream.progress(bytes, &sums)),
            Ok(None) => {}
            Err(error) => self.report(&error),
        }
        self.core.drop_one();
        stream.fail();
    }

    /// Their checksums. None: there is no room for them.
    fn write_blocks(
        &mut self,
        stream: &Stream,
        at: u64,
        blocks: &[Arc<[u8]>],
        bytes: u64,
    ) -> io::Result<Option<Vec<u8>>> {
        if !self.room(bytes)? {
            return Ok(None);
        }
        let known = stream.parts().segment.clone();
        let segment = match known {
            Some(segment) => segment,
            None => {
                let segment = self.create(true)?;
                stream.parts().segment = Some(Arc::clone(&segment));
                segment
            }
        };
        let mut parts: Vec<IoSlice<'_>> = blocks.iter().map(|block| IoSlice::new(block)).collect();
        self.write(&segment.file, OWN_BODY + at, &mut parts)?;
        self.extend(&segment, OWN_BODY + at + bytes);
        let mut sums = Vec::with_capacity(4 * blocks.len());
        for (block, index) in blocks.iter().zip(at / BLOCK as u64..) {
            let sum = crc32c::crc32c_append(layout::seed(stream.sequence, index), block);
            sums.extend_from_slice(&sum.to_le_bytes());
        }
        Ok(Some(sums))
    }

    pub fn finish_stream(&mut self, stream: &Arc<Stream>) {
        self.write_stream(stream);
        if stream.has_failed() {
            return self.abort_stream(stream);
        }
        let mut parts = stream.parts();
        self.core.queue.release(std::mem::take(&mut parts.reserved));
        let (label, head) = (std::mem::take(&mut parts.label), std::mem::take(&mut parts.head));
        let (body, body_len, sums) = (parts.early.clone(), parts.appended, parts.sums.clone());
        let Some(segment) = parts.segment.clone() else {
            drop(parts);
            return self.put(stream.key, stream.sequence, Content { label, head, sums: None, body });
        };
        drop(parts);
        let mut content = Content { label, head, sums: Some(sums), body: Vec::new() };
        let record = Record {
            kind: Kind::Put,
            softened: false,
            key: stream.key,
            sequence: stream.sequence,
            aux: 0,
            label_len: content.label.len() as u16,
            head_len: content.head.len() as u32,
            body_len,
        };
        if record.len() <= self.core.own_from() {
            // short after all: among the others, so that files stay few
            let mut bytes = Vec::new();
            let read = disk::read(&segment.file, OWN_BODY, &mut [], body_len as usize, &mut bytes, true);
            self.unlink(segment);
            if read.is_err() {
                return self.abandon(record, &Then::Publish);
            }
            content.body.push(bytes.into());
            return self.gather(record, content, Then::Publish);
        }
        let record = Record { kind: Kind::Own, ..record };
        match self.close_own(&segment, record, &content) {
            Ok(()) => self.core.works(),
            Err(error) => {
                self.report(&error);
                self.unlink(segment);
                self.abandon(record, &Then::Publish);
            }
        }
    }

    pub fn abort_stream(&mut self, stream: &Arc<Stream>) {
        stream.fail();
        let mut parts = stream.parts();
        self.core.queue.release(std::mem::take(&mut parts.reserved));
        let segment = parts.segment.clone();
        drop(parts);
        if let Some(segment) = segment {
            self.unlink(segment);
        }
        self.core.table.give_up(stream.key);
    }
}
