#!/usr/bin/env php
<?php
// Enqueues a payment voucher and prints the upload's id. PHP 7.4 or later with ext-curl.
//
//   GATEWAY=https://voucherd.example TOKEN=voucherd_… php upload.php [--wait] FILE ORDER [REFERENCE]

declare(strict_types=1);

const FINAL_STATES = ['delivered', 'rejected', 'expired', 'discarded'];

/**
 * Gives the answer. A call with a form is a POST. It tries again what may pass by itself. That is safe for uploads too:
 * the same voucher for the same order is the same upload.
 */
function call(string $path, ?array $form = null): array
{
    foreach ([0.5, 1, 2, 4, 8, 0] as $pause) {
        $curl = curl_init(rtrim(getenv('GATEWAY'), '/') . $path);
        curl_setopt_array($curl, [
            CURLOPT_RETURNTRANSFER => true,
            CURLOPT_TIMEOUT => 60,
            CURLOPT_HTTPHEADER => ['Authorization: Bearer ' . getenv('TOKEN')],
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

function upload(string $file, string $orderId, string $reference = ''): array
{
    if (!is_readable($file)) {
        throw new RuntimeException("$file cannot be read");
    }
    return call('/v1/uploads', [
        'orderId' => $orderId,
        'reference' => $reference,
        'voucher' => new CURLFile($file, 'application/octet-stream', 'voucher'),
    ]);
}

function wait_for(string $id): string
{
    while (!in_array($state = call("/v1/uploads/$id")['state'], FINAL_STATES, true)) {
        sleep(2);
    }
    return $state;
}

$args = array_slice($argv, 1);
$waits = ($args[0] ?? '') === '--wait';
if ($waits) {
    array_shift($args);
}
if (!getenv('GATEWAY') || !getenv('TOKEN') || count($args) < 2 || count($args) > 3) {
    fwrite(STDERR, "usage: GATEWAY=… TOKEN=… php upload.php [--wait] FILE ORDER [REFERENCE]\n");
    exit(2);
}
try {
    $id = upload(...$args)['id'];
    echo $id, "\n";
    if ($waits) {
        $state = wait_for($id);
        echo $state, "\n";
        exit($state === 'delivered' ? 0 : 4);
    }
} catch (RuntimeException $e) {
    fwrite(STDERR, $e->getMessage() . "\n");
    exit(1);
}
