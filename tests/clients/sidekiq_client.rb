# Brings jobs into each state of Sidekiq and counts them, as Sidekiq's own API sees them.
#
#   sidekiq_client.rb send QUEUE COUNT CLASS [ARG]
#   sidekiq_client.rb bulk QUEUE COUNT               the same of Noop, a thousand at once
#   sidekiq_client.rb schedule QUEUE COUNT SECONDS   due in SECONDS
#   sidekiq_client.rb quiet                          tells all processes to take no more jobs
#   sidekiq_client.rb counts QUEUE
#
# Every command prints what `counts` prints: a JSON object.

require_relative "sidekiq_app"
require "sidekiq/api"
require "json"

Sidekiq.logger.level = Logger::WARN

def counts(queue)
  stats = Sidekiq::Stats.new
  work = Sidekiq::Workers.new.select { |_, _, work| work["queue"] == queue.name }
  oldest = queue.to_a.last
  processes = Sidekiq::ProcessSet.new(false).to_a
  {
    version: Sidekiq::VERSION,
    ready: queue.size,
    in_progress: work.size,
    oldest_run_at: work.map { |_, _, work| work["run_at"] }.min,
    oldest_enqueued_at: oldest&.enqueued_at&.to_f,
    latency: queue.latency,
    scheduled: Sidekiq::ScheduledSet.new.size,
    retry: Sidekiq::RetrySet.new.size,
    dead: Sidekiq::DeadSet.new.size,
    next_due: [*Sidekiq::ScheduledSet.new, *Sidekiq::RetrySet.new].map(&:score).min,
    processed: stats.processed,
    failed: stats.failed,
    busy: processes.sum { |process| process["busy"] },
    slots: processes.reject { |process| process.stopping? }.sum { |process| process["concurrency"] },
    processes: processes.size
  }
end

command, name, count, *rest = ARGV
case command
when "send"
  job, *arguments = Object.const_get(rest.first), *rest.drop(1)
  count.to_i.times { Sidekiq::Client.push("queue" => name, "class" => job, "args" => arguments) }
when "bulk"
  count.to_i.times.each_slice(1000) do |slice|
    Sidekiq::Client.push_bulk("queue" => name, "class" => "Noop", "args" => slice.map { [_1] })
  end
when "schedule"
  due = Time.now.to_f + rest.first.to_f
  count.to_i.times do
    Sidekiq::Client.push("queue" => name, "class" => "Noop", "args" => [], "at" => due)
  end
when "quiet"
  Sidekiq::ProcessSet.new(false).each(&:quiet!)
when "counts"
  nil
else
  abort "unknown command #{command}"
end
puts JSON.generate(counts(Sidekiq::Queue.new(name || "default")))
