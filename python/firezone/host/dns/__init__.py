"""Who answers DNS queries on this host: the Client while it runs, else whoever did before."""
