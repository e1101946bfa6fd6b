//! What is made of a message alone, without any resource: a failure, a cut, a question that measures a
//! server, and the check that a message answers another.

use domain::base::iana::Rcode;
use domain::base::message::Message;
use domain::base::message_builder::MessageBuilder;

/// Bytes of a header (RFC 1035 §4.1.1).
const HEADER: usize = 12;
/// Bytes of type and class behind the name of a question.
const TYPE_AND_CLASS: usize = 4;

/// Writes the answer "server failure" to `query` and returns its length; `None` if `query` is no
/// query or `into` too short.
pub fn server_failure(query: &[u8], into: &mut [u8]) -> Option<usize> {
    let query = Message::from_slice(query).ok()?;
    if query.header().qr() {
        return None;
    }
    let mut builder = MessageBuilder::from_target(Vec::with_capacity(512)).ok()?;
    builder.header_mut().set_ra(true);
    let answer = builder.start_answer(query, Rcode::SERVFAIL).ok()?;
    copy(&answer.finish(), into)
}

/// Writes `response` without its records and marked as truncated (TC), so that who asked asks again
/// over TCP (RFC 2181 §9). Returns the length; `None` if it is no response or `into` too short.
pub fn truncated(response: &[u8], into: &mut [u8]) -> Option<usize> {
    let response = Message::from_slice(response).ok()?;
    let header = response.header();
    if !header.qr() {
        return None;
    }
    let builder = MessageBuilder::from_target(Vec::with_capacity(512)).ok()?;
    let mut builder = builder.question();
    *builder.header_mut() = header;
    builder.header_mut().set_tc(true);
    for question in response.question() {
        builder.push(question.ok()?).ok()?;
    }
    copy(&builder.finish(), into)
}

/// Bytes of a [`root_query`].
pub const ROOT_QUERY: usize = 17;

/// A query for the name servers of the root: every resolver can answer it from memory, and it tells
/// the servers nothing of who asks or why.
pub fn root_query(id: u16) -> [u8; ROOT_QUERY] {
    let [high, low] = id.to_be_bytes();
    // RD, one question: the root's empty name, NS, IN (RFC 1035 §4.1).
    [high, low, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1]
}

/// Makes `response`, the answer to a query that was sent with another id, the answer to `query`: its id
/// and its spelling of the name. Tells whether it answers that query at all (RFC 5452 §9.1); an error
/// may leave out the question.
pub fn adopt_response(query: &[u8], response: &mut [u8]) -> bool {
    let Some(question) = question_len(query) else { return false };
    let Ok(message) = Message::from_slice(response) else { return false };
    let (header, questions) = (message.header(), message.header_counts().qdcount());
    if !header.qr() {
        return false;
    }
    if questions == 0 && header.rcode() != Rcode::NOERROR {
        response[..2].copy_from_slice(&query[..2]);
        return true;
    }
    let range = HEADER..HEADER + question;
    let same = response.get(range.clone()).is_some_and(|theirs| {
        let (ours, name) = (&query[range.clone()], question - TYPE_AND_CLASS);
        // Bytes of length are below any letter.
        theirs[..name].eq_ignore_ascii_case(&ours[..name]) && theirs[name..] == ours[name..]
    });
    if questions != 1 || !same {
        return false;
    }
    response[..2].copy_from_slice(&query[..2]);
    response[range.clone()].copy_from_slice(&query[range]);
    true
}

/// Length of the first question; it has no compressed name (RFC 1035 §4.1.4).
fn question_len(query: &[u8]) -> Option<usize> {
    let mut at = HEADER;
    loop {
        let length = *query.get(at)?;
        at += 1 + usize::from(length);
        match length {
            0 => break,
            1..=63 => {}
            64.. => return None,
        }
    }
    let end = at + TYPE_AND_CLASS;
    (end <= query.len()).then_some(end - HEADER)
}

fn copy(message: &[u8], into: &mut [u8]) -> Option<usize> {
    into.get_mut(..message.len())?.copy_from_slice(message);
    Some(message.len())
}

#[cfg(test)]
mod tests {
    use domain::base::Name;
    use domain::base::iana::Rtype;
    use domain::base::name::ToLabelIter;
    use domain::rdata::A;

    use super::*;

    fn query() -> Vec<u8> {
        let mut builder = MessageBuilder::new_vec();
        builder.header_mut().set_id(77);
        builder.header_mut().set_rd(true);
        let mut question = builder.question();
        question.push((Name::<Vec<u8>>::vec_from_str("Www.Example").unwrap(), Rtype::A)).unwrap();
        question.finish()
    }

    #[test]
    fn a_failure_repeats_id_and_question() {
        let (query, mut into) = (query(), [0; 512]);

        let len = server_failure(&query, &mut into).unwrap();

        let answer = Message::from_slice(&into[..len]).unwrap();
        assert!(answer.header().qr());
        assert_eq!((answer.header().id(), answer.header().rcode()), (77, Rcode::SERVFAIL));
        assert_eq!(into[12..len], query[12..]);
        assert_eq!(server_failure(&into[..len], &mut [0; 512]), None, "an answer is no query");
    }

    #[test]
    fn a_cut_answer_keeps_its_header_and_question_alone() {
        let query = query();
        let request = Message::from_slice(&query).unwrap();
        let mut answer = MessageBuilder::new_vec().start_answer(request, Rcode::NOERROR).unwrap();
        for i in 0..100 {
            answer
                .push((
                    Name::<Vec<u8>>::vec_from_str("a.b").unwrap(),
                    5,
                    A::from_octets(1, 2, 3, i),
                ))
                .unwrap();
        }
        let response = answer.finish();
        let mut into = [0; 512];

        let len = truncated(&response, &mut into).unwrap();

        let cut = Message::from_slice(&into[..len]).unwrap();
        assert!(cut.header().tc() && cut.header().qr());
        assert_eq!((cut.header().id(), cut.header_counts().ancount()), (77, 0));
        assert_eq!(into[12..len], query[12..]);
    }

    #[test]
    fn the_measuring_question_is_a_query_for_the_root_servers() {
        let query = root_query(0x1234);

        let message = Message::from_slice(&query).unwrap();
        let question = message.sole_question().unwrap();
        assert_eq!((message.header().id(), message.header().rd()), (0x1234, true));
        assert_eq!(question.qname().iter_labels().count(), 1, "the root alone");
        assert_eq!(question.qtype(), Rtype::NS);
    }

    #[test]
    fn a_response_gets_the_id_and_the_spelling_of_its_query() {
        let query = query();
        let mut response = query.to_ascii_lowercase();
        (response[0], response[2]) = (99, query[2] | 0x80);
        let mut error = response[..12].to_vec();
        (error[3], error[5]) = (1, 0);

        assert!(adopt_response(&query, &mut response));
        assert_eq!((&response[..2], &response[12..]), (&query[..2], &query[12..]));
        assert!(adopt_response(&query, &mut error), "an error may come without the question");
        assert_eq!(error[..2], query[..2]);
    }

    #[test]
    fn a_response_to_another_question_is_none() {
        let query = query();
        let mut response = query.clone();
        assert!(!adopt_response(&query, &mut response), "a query is no response");
        response[2] |= 0x80;
        for at in 12..query.len() {
            let mut other = response.clone();
            other[at] ^= 1;
            assert!(!adopt_response(&query, &mut other), "byte {at}");
        }
        assert!(!adopt_response(&query, &mut response[..20]));
        assert!(!adopt_response(&query[..20], &mut response));
        assert!(!adopt_response(&[0xff; 40], &mut response));
    }

    #[test]
    fn letters_of_the_name_alone_have_a_case() {
        let mut query = query();
        let len = query.len();
        // HTTPS is 65, as is the letter A.
        query[len - 3] = 65;
        let mut response = query.clone();
        (response[2], response[len - 3]) = (query[2] | 0x80, 97);
        assert!(!adopt_response(&query, &mut response));
        response[len - 3] = 65;
        assert!(adopt_response(&query, &mut response));
    }

    #[test]
    fn a_question_has_whole_labels_and_no_pointers() {
        for length in [64, 128, 191, 192, 255] {
            let mut query = [&[0; 12][..], &[length], &[b'a'; 255], &[0, 0, 1, 0, 1]].concat();
            query.truncate(12 + 1 + usize::from(length));
            query.extend([0, 0, 1, 0, 1]);
            query[5] = 1;
            let mut response = query.clone();
            response[2] |= 0x80;
            assert!(!adopt_response(&query, &mut response), "{length}");
        }
    }

    #[test]
    fn garbage_gets_no_answer() {
        assert_eq!(server_failure(&[1, 2, 3], &mut [0; 512]), None);
        assert_eq!(truncated(&[0; 12], &mut [0; 512]), None);
    }
}
