"""Equipment of the suite: a throwaway Postgres, a proxy that cuts connections. No tests live here."""
