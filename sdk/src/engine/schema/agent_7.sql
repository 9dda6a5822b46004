-- A queued job that has not run yet is always due, so only those that have are searched by when they are due.
DROP INDEX job_queued_due;
CREATE INDEX job_queued_again ON job (due) WHERE state = 'queued' AND attempt > 0;
