/** `debmend transaction`: parse, call, render. */
import { inventory, transactionPage, transactionTable } from '../report/inventory.ts';
import { findTransaction, listTransactions } from '../snapshot/transaction/record.ts';
import { DebmendError } from '../system/errors.ts';
import { EXIT } from './exit-codes.ts';
import { openRoot } from './root.ts';
import { withStore } from './store.ts';

interface Common {
  readonly root: string;
  readonly json?: boolean;
  readonly store?: string;
}

/** @throws DebmendError */
export async function transactionList(options: unknown): Promise<number> {
  const args = options as Common;
  const root = openRoot(args.root);
  return await withStore(root, args.store, (store) => {
    const transactions = listTransactions(store);
    process.stdout.write(
      args.json === true
        ? `${JSON.stringify(inventory(root, { transactions }), undefined, 2)}\n`
        : transactionTable(transactions),
    );
    return EXIT.sound;
  });
}

/** @throws DebmendError */
export async function transactionShow(id: string, options: unknown): Promise<number> {
  const args = options as Common;
  const root = openRoot(args.root);
  return await withStore(root, args.store, (store) => {
    const found = id === 'latest' ? listTransactions(store).at(-1) : findTransaction(store, id);
    if (found === undefined) {
      throw new DebmendError(
        'unknown-transaction',
        `looking for transaction ${id}: there is none`,
        "'debmend transaction list' tells their names; 'latest' is the newest",
      );
    }
    process.stdout.write(
      args.json === true
        ? `${JSON.stringify(inventory(root, { transactions: [found] }), undefined, 2)}\n`
        : transactionPage(found),
    );
    return EXIT.sound;
  });
}
