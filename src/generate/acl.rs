//! The rules by which a broker lets tailback read what it reads, and nothing else.

/// A user of a Redis server.
#[derive(Debug, Clone)]
pub struct RedisUser {
    pub name: String,
    /// Globs of the keys that it may read; none for a sentinel.
    pub keys: Vec<String>,
    /// Commands, as access control names them.
    pub rights: Vec<&'static str>,
    /// Before Redis 7 a right to read keys alone cannot be given.
    pub is_before_7: bool,
}

/// A user of a RabbitMQ.
#[derive(Debug, Clone)]
pub struct RabbitMqUser {
    pub name: String,
    pub vhosts: Vec<String>,
}

/// A line for redis-cli, and the same for a configuration file.
pub fn redis(user: &RedisUser) -> Result<String, Vec<String>> {
    let is_word = |word: &str| !word.is_empty() && !word.contains(char::is_whitespace);
    let mut faults = Vec::new();
    if !is_word(&user.name) {
        faults.push(format!("--user {:?} must be one word", user.name));
    }
    for key in user.keys.iter().filter(|key| !is_word(key)) {
        faults.push(format!(
            "--keys {key:?} must be one word: `?` stands for a space"
        ));
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    let (read, channels) = match user.is_before_7 {
        true => ("~", ""),
        false => ("%R~", " resetchannels"),
    };
    let keys: String = user
        .keys
        .iter()
        .map(|key| format!(" {read}{key}"))
        .collect();
    let rights: String = user
        .rights
        .iter()
        .map(|right| format!(" +{right}"))
        .collect();
    let rule = format!("{} on >PASSWORD{channels}{keys} -@all{rights}", user.name);
    Ok(format!(
        "# Written by `tailback generate acl`. In redis-cli:\n\
         ACL SETUSER {rule}\n\
         # Or as a line of redis.conf or of its ACL file, for the next start:\n\
         user {rule}\n"
    ))
}

/// Commands for a shell.
pub fn rabbitmq(user: &RabbitMqUser) -> Result<String, Vec<String>> {
    let is_safe = |text: &str| {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "._/%:@+-".contains(c);
        !text.is_empty() && !text.starts_with('-') && text.chars().all(is_plain)
    };
    let names = std::iter::once(("--user", &user.name));
    let names = names.chain(user.vhosts.iter().map(|vhost| ("--vhost", vhost)));
    let faults: Vec<String> = names
        .filter(|(_, name)| !is_safe(name))
        .map(|(option, name)| {
            format!("{option} {name:?} has a sign in it that a shell may take for its own")
        })
        .collect();
    if !faults.is_empty() {
        return Err(faults);
    }
    let name = &user.name;
    let mut text = format!(
        "# Written by `tailback generate acl`. The tag lets it read the management API, and a virtual host\n\
         # is read by whoever has access to it, though without a right in it.\n\
         rabbitmqctl add_user {name} PASSWORD\n\
         rabbitmqctl set_user_tags {name} monitoring\n"
    );
    for vhost in &user.vhosts {
        text.push_str(&format!(
            "rabbitmqctl set_permissions -p {vhost} {name} '^$' '^$' '^$'\n"
        ));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_be_another_rule_is_refused() {
        let mut user = RedisUser {
            name: "me".to_owned(),
            keys: vec!["rq:*".to_owned(), "a*".to_owned()],
            rights: vec!["llen", "xinfo|stream"],
            is_before_7: false,
        };
        let text = redis(&user).unwrap();
        let rule = "me on >PASSWORD resetchannels %R~rq:* %R~a* -@all +llen +xinfo|stream\n";
        assert!(text.contains(&format!("\nACL SETUSER {rule}")), "{text}");
        assert!(text.ends_with(&format!("\nuser {rule}")), "{text}");
        user.is_before_7 = true;
        let text = redis(&user).unwrap();
        assert!(
            text.contains("user me on >PASSWORD ~rq:* ~a* -@all"),
            "{text}"
        );
        user.name = "me +@all".to_owned();
        user.keys.push("a b".to_owned());
        assert_eq!(redis(&user).unwrap_err().len(), 2);
        let mut user = RabbitMqUser {
            name: "me".to_owned(),
            vhosts: vec!["/".to_owned(), "jobs".to_owned()],
        };
        assert_eq!(
            rabbitmq(&user).unwrap().matches("set_permissions").count(),
            2
        );
        user.vhosts.push("a; rm".to_owned());
        user.name = "-p".to_owned();
        assert_eq!(rabbitmq(&user).unwrap_err().len(), 2);
    }
}
