//! Answers that are made of a message alone, without any resource: a failure, a cut.

use domain::base::iana::Rcode;
use domain::base::message::Message;
use domain::base::message_builder::MessageBuilder;

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

fn copy(message: &[u8], into: &mut [u8]) -> Option<usize> {
    into.get_mut(..message.len())?.copy_from_slice(message);
    Some(message.len())
}

#[cfg(test)]
mod tests {
    use domain::base::Name;
    use domain::base::iana::Rtype;
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
    fn garbage_gets_no_answer() {
        assert_eq!(server_failure(&[1, 2, 3], &mut [0; 512]), None);
        assert_eq!(truncated(&[0; 12], &mut [0; 512]), None);
    }
}
