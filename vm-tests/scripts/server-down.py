"""A real server fails its check and gets nothing; when it answers again, it gets its share."""

start_cluster()

web1.succeed("systemctl stop nginx.service")
for director in directors:
    director.wait_until_fails(up("web1"), timeout=PATIENCE)
answers(f"http://{VIP}/", {"web2"})

web1.succeed("systemctl start nginx.service")
for director in directors:
    director.wait_until_succeeds(up("web1"), timeout=PATIENCE)
answers(f"http://{VIP}/", {"web1", "web2"})
