<?php
// A client of voucherd's HTTP API. PHP 7.4 or later with ext-curl. Copy it whole.
//
//   GATEWAY=https://voucherd.example TOKEN=voucherd_… php voucherd.php upload [--wait] FILE ORDER [REFERENCE]
//   … php voucherd.php wait ID
//   … php voucherd.php list [NAME=VALUE…]        as in list state=rejected since=24h
//   … php voucherd.php feed CURSORFILE           a page of what ended since the last time
//   WEBHOOK_SECRET=whsec_… php voucherd.php verify ID TIMESTAMP SIGNATURE <BODY

declare(strict_types=1);

final class Voucherd
{
    private const FINAL_STATES = ['delivered', 'rejected', 'expired', 'discarded'];
    private const PAUSES = [0.5, 1, 2, 4, 8, 0]; // seconds between tries
    private const TOLERANCE = 300; // seconds that a webhook's time may be off

    private string $gateway;
    private string $token;

    public function __construct(string $gateway, string $token)
    {
        $this->gateway = rtrim($gateway, '/');
        $this->token = $token;
    }

    /**
     * Enqueues the voucher in a file and gives its upload. The order id is text. Fields are reference, userId, account,
     * again, replace and reason, all text.
     */
    public function upload(string $file, string $orderId, array $fields = []): array
    {
        if (!is_readable($file)) {
            throw new RuntimeException("$file cannot be read");
        }
        $voucher = new CURLFile($file, 'application/octet-stream', 'voucher');
        return $this->call('/v1/uploads', ['orderId' => $orderId] + $fields + ['voucher' => $voucher]);
    }

    public function get(string $id): array
    {
        return $this->call('/v1/uploads/' . rawurlencode($id));
    }

    /** Gives the upload once it has ended. While PandaPon's API is away, that can take days. */
    public function wait(string $id): array
    {
        while (!in_array(($found = $this->get($id))['state'], self::FINAL_STATES, true)) {
            sleep(2);
        }
        return $found;
    }

    /** Gives uploads one by one, newest first: by state, orderId, requestId, code, account, since. */
    public function list(array $filters = []): Generator
    {
        do {
            $page = $this->call('/v1/uploads?' . http_build_query($filters));
            foreach ($page['uploads'] as $upload) {
                yield $upload;
            }
            $filters['cursor'] = $page['cursor'] ?? '';
        } while ($filters['cursor'] !== '');
    }

    /**
     * Gives the events after a cursor, and the cursor to go on from. It waits for the first one. Deal with the events,
     * then keep the cursor. An event may come again, with the same id.
     */
    public function events(string $after = '', string $wait = '30s'): array
    {
        return $this->call('/v1/events?' . http_build_query(['after' => $after, 'wait' => $wait]));
    }

    /**
     * Gives the event of a webhook, or throws when it is not voucherd's. The body is the request's as it came
     * (php://input); the three before it are $_SERVER['HTTP_WEBHOOK_ID'], ['HTTP_WEBHOOK_TIMESTAMP'] and
     * ['HTTP_WEBHOOK_SIGNATURE'].
     */
    public static function verify(string $secret, string $id, string $timestamp, string $signature, string $body): array
    {
        if (!ctype_digit($timestamp) || abs(time() - (int) $timestamp) > self::TOLERANCE) {
            throw new RuntimeException("the webhook's time is off");
        }
        $key = base64_decode(substr($secret, strlen('whsec_')));
        $want = 'v1,' . base64_encode(hash_hmac('sha256', "$id.$timestamp.$body", $key, true));
        foreach (explode(' ', $signature) as $given) {
            if (hash_equals($want, $given)) {
                return json_decode($body, true, 512, JSON_THROW_ON_ERROR);
            }
        }
        throw new RuntimeException("the webhook's signature is wrong");
    }

    /**
     * Gives the answer. A call with a form is a POST. It tries again what may pass by itself. That is safe for uploads
     * too: the same voucher for the same order is the same upload.
     */
    private function call(string $path, ?array $form = null): array
    {
        $failure = '';
        foreach (self::PAUSES as $pause) {
            $curl = curl_init($this->gateway . $path);
            curl_setopt_array($curl, [
                CURLOPT_RETURNTRANSFER => true,
                CURLOPT_TIMEOUT => 60,
                CURLOPT_HTTPHEADER => ['Authorization: Bearer ' . $this->token],
            ]);
            if ($form !== null) {
                curl_setopt($curl, CURLOPT_POSTFIELDS, $form);
            }
            $text = curl_exec($curl);
            if ($text === false) {
                $failure = 'no answer: ' . curl_error($curl);
            } else {
                $status = curl_getinfo($curl, CURLINFO_RESPONSE_CODE);
                $answer = json_decode($text, true);
                if ($status >= 200 && $status < 300 && is_array($answer)) {
                    return $answer;
                }
                $failure = "refused with HTTP $status: " . ($answer['detail'] ?? substr($text, 0, 200));
                if ($status !== 503 && $status !== 507) {
                    break;
                }
            }
            usleep((int) ($pause * 1e6));
        }
        throw new RuntimeException($failure);
    }
}

/** Prints a page of events, and then keeps the cursor in a file. */
function follow(Voucherd $client, string $file): void
{
    $page = $client->events(is_file($file) ? trim(file_get_contents($file)) : '');
    foreach ($page['events'] as $event) {
        show($event);
    }
    if (file_put_contents("$file.new", $page['cursor']) === false || !rename("$file.new", $file)) {
        throw new RuntimeException("$file cannot be written");
    }
}

function show(array $event): void
{
    echo $event['id'], "\t", $event['type'], "\t", $event['data']['id'] ?? '', "\n";
}

const USAGE = <<<'TEXT'
    usage: voucherd.php upload [--wait] FILE ORDER [REFERENCE] | wait ID | list [NAME=VALUE…] | feed CURSORFILE
           voucherd.php verify ID TIMESTAMP SIGNATURE <BODY

    TEXT;

/** Gives the exit code. */
function main(string $command = '', string ...$args): int
{
    if ($command === 'verify' && count($args) === 3 && getenv('WEBHOOK_SECRET')) {
        [$id, $timestamp, $signature] = $args;
        show(Voucherd::verify(getenv('WEBHOOK_SECRET'), $id, $timestamp, $signature, stream_get_contents(STDIN)));
        return 0;
    }
    $client = getenv('GATEWAY') && getenv('TOKEN') ? new Voucherd(getenv('GATEWAY'), getenv('TOKEN')) : null;
    $waits = $command === 'upload' && ($args[0] ?? '') === '--wait';
    if ($waits) {
        array_shift($args);
    }
    if ($client && $command === 'upload' && in_array(count($args), [2, 3], true)) {
        $id = $client->upload($args[0], $args[1], ['reference' => $args[2] ?? ''])['id'];
        echo $id, "\n";
        if (!$waits) {
            return 0;
        }
    } elseif ($client && $command === 'wait' && count($args) === 1) {
        $id = $args[0];
    } elseif ($client && $command === 'list') {
        $filters = [];
        foreach ($args as $arg) {
            [$name, $value] = explode('=', $arg, 2) + [1 => ''];
            $filters[$name] = $value;
        }
        foreach ($client->list($filters) as $u) {
            echo $u['id'], "\t", $u['state'], "\t", $u['orderId'], "\n";
        }
        return 0;
    } elseif ($client && $command === 'feed' && count($args) === 1) {
        follow($client, $args[0]);
        return 0;
    } else {
        fwrite(STDERR, USAGE);
        return 2;
    }
    $state = $client->wait($id)['state'];
    echo $state, "\n";
    return $state === 'delivered' ? 0 : 4;
}

// Not when another file includes it.
if (PHP_SAPI === 'cli' && realpath($argv[0]) === __FILE__) {
    try {
        exit(main(...array_slice($argv, 1)));
    } catch (RuntimeException | JsonException $e) {
        fwrite(STDERR, $e->getMessage() . "\n");
        exit(1);
    }
}
