use super::*;

const GOOD: &str = "apiVersion: v1\nkind: Service\nmetadata: { name: a }\nspec: { ports: [{ port: 80 }] }\n";

async fn next(
    content: &mut watch::Receiver<Arc<DirectoryContent>>,
    wanted: impl Fn(&DirectoryContent) -> bool,
) -> Arc<DirectoryContent> {
    let found = tokio::time::timeout(Duration::from_secs(30), content.wait_for(|content| wanted(content)));
    found.await.expect("in time").expect("the task runs").clone()
}

#[tokio::test]
async fn a_file_that_turned_bad_keeps_its_last_good_content() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.yaml");
    fs::write(&path, GOOD).unwrap();
    let tasks = Tasks::new();
    let mut content = DirectorySource::start(directory.path(), &tasks);
    assert_eq!(content.borrow().resources.len(), 1);

    fs::write(&path, GOOD.replace("port: 80", "prot: 8080")).unwrap();
    let bad = next(&mut content, |content| !content.problems.is_empty()).await;
    assert_eq!(bad.resources.len(), 1);
    let problem = &bad.problems[0];
    assert_eq!((problem.source.as_str(), problem.line), ("a.yaml", 4));

    fs::write(&path, GOOD.replace("name: a", "name: better")).unwrap();
    let good = next(&mut content, |content| content.problems.is_empty()).await;
    assert_eq!(good.resources.keys().next().unwrap().name, "better");

    fs::remove_file(&path).unwrap();
    next(&mut content, |content| content.resources.is_empty()).await;
    tasks.stop().await;
}

#[tokio::test]
async fn of_two_files_with_one_object_the_first_wins_and_the_other_is_reported() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("b.yaml"), GOOD.replace("80", "81")).unwrap();
    fs::write(directory.path().join("a.yaml"), GOOD).unwrap();
    let tasks = Tasks::new();
    let content = DirectorySource::start(directory.path(), &tasks).borrow().clone();
    assert_eq!(&*content.resources.values().next().unwrap().source, "a.yaml");
    assert!(content.problems[0].message.contains("already defined at a.yaml:1"), "{:?}", content.problems);
    tasks.stop().await;
}

#[tokio::test]
async fn a_rename_over_a_file_is_seen_although_size_and_time_are_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.yaml");
    fs::write(&path, GOOD).unwrap();
    let time = fs::metadata(&path).unwrap().modified().unwrap();
    let tasks = Tasks::new();
    let mut content = DirectorySource::start(directory.path(), &tasks);
    let draft = directory.path().join(".a.yaml.swp");
    fs::write(&draft, GOOD.replace("name: a", "name: b")).unwrap();
    fs::File::options().write(true).open(&draft).unwrap().set_modified(time).unwrap();
    fs::rename(&draft, &path).unwrap();
    let seen = next(&mut content, |content| content.resources.keys().any(|key| key.name == "b")).await;
    assert_eq!(seen.resources.len(), 1);
    tasks.stop().await;
}

#[tokio::test]
async fn files_in_new_directories_are_found_and_go_with_them() {
    let directory = tempfile::tempdir().unwrap();
    let tasks = Tasks::new();
    let mut content = DirectorySource::start(directory.path(), &tasks);
    let inner = directory.path().join("shop/routes");
    fs::create_dir_all(&inner).unwrap();
    fs::write(
        inner.join("a.json"),
        "{\"apiVersion\":\"v1\",\"kind\":\"Service\",\"metadata\":{\"name\":\"a\"},\"spec\":{}}",
    )
    .unwrap();
    fs::write(inner.join("notes.txt"), "no resource").unwrap();
    let seen = next(&mut content, |content| !content.resources.is_empty()).await;
    assert_eq!(&*seen.resources.values().next().unwrap().source, "shop/routes/a.json");
    fs::remove_dir_all(directory.path().join("shop")).unwrap();
    next(&mut content, |content| content.resources.is_empty()).await;
    tasks.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_directory_that_is_gone_keeps_what_it_last_said() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("resources");
    fs::create_dir(&path).unwrap();
    fs::write(path.join("a.yaml"), GOOD).unwrap();
    let tasks = Tasks::new();
    let mut content = DirectorySource::start(&path, &tasks);
    fs::rename(&path, directory.path().join("elsewhere")).unwrap();
    let kept = next(&mut content, |content| !content.problems.is_empty()).await;
    assert_eq!(kept.resources.len(), 1);
    fs::rename(directory.path().join("elsewhere"), &path).unwrap();
    next(&mut content, |content| content.problems.is_empty()).await;
    tasks.stop().await;
}

#[tokio::test]
async fn a_link_to_nowhere_is_a_problem_and_keeps_what_it_last_said() {
    let directory = tempfile::tempdir().unwrap();
    let (target, link) = (directory.path().join("target.txt"), directory.path().join("a.yaml"));
    fs::write(&target, GOOD).unwrap();
    std::os::unix::fs::symlink(&target, &link).unwrap();
    let tasks = Tasks::new();
    let mut content = DirectorySource::start(directory.path(), &tasks);
    assert_eq!(content.borrow().resources.len(), 1);

    fs::remove_file(&target).unwrap();
    let dangling = next(&mut content, |content| !content.problems.is_empty()).await;
    assert_eq!((dangling.resources.len(), dangling.problems[0].source.as_str()), (1, "a.yaml"));

    fs::remove_file(&link).unwrap();
    next(&mut content, |content| content.resources.is_empty() && content.problems.is_empty()).await;
    tasks.stop().await;
}
