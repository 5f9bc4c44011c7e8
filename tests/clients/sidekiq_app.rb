# What the Sidekiq workers of the live tests run. Started with `sidekiq -r sidekiq_app.rb`, and
# loaded by sidekiq_client.rb; the Redis is in REDIS_URL, redis-namespace's in SIDEKIQ_NAMESPACE.

require "sidekiq"

$stdout.sync = true
# Of the Redis client, which Sidekiq 6.4 uses in an older way.
Redis.silence_deprecations = true

unless ENV.fetch("SIDEKIQ_NAMESPACE", "").empty?
  require "redis-namespace"
  options = {url: ENV.fetch("REDIS_URL"), namespace: ENV.fetch("SIDEKIQ_NAMESPACE")}
  Sidekiq.configure_client { |config| config.redis = options }
  Sidekiq.configure_server { |config| config.redis = options }
end

class Noop
  include Sidekiq::Worker

  def perform(*) = nil
end

# Fails, and is tried again much later.
class Fail
  include Sidekiq::Worker
  sidekiq_options retry: 5
  sidekiq_retry_in { 3600 }

  def perform = raise("as it should")
end

# Fails for good at once.
class Dead
  include Sidekiq::Worker
  sidekiq_options retry: 0

  def perform = raise("as it should")
end

# Runs until the file exists, so that a test decides how long a job is in progress.
class Hold
  include Sidekiq::Worker

  def perform(path)
    sleep 0.02 until File.exist?(path)
  end
end
